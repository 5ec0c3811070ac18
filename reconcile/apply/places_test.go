package apply_test

import (
	"testing"
	"testing/fstest"

	"certroll/reconcile/ledger"
	"certroll/reconcile/observe"
	"certroll/reconcile/reconciletest"
)

// TestPlaces checks that PlacesOf finds every path that a record or event ever named,
// including retired and moved secrets, despite unreadable files.
func TestPlaces(t *testing.T) {
	record, err := ledger.MarshalRecord(&ledger.Record{Schema: ledger.RecordSchema, Certificate: "gone", State: ledger.StateRetired, Live: &ledger.Live{Mount: "kv", Path: "old/gone"}})
	if err != nil {
		t.Fatal(err)
	}
	all, err := observe.PlacesOf(fstest.MapFS{
		"certificates/gone.json": {Data: record},
		"certificates/zz.json":   {Data: []byte("garbage")},
		"audit/2026/11.jsonl":    {Data: []byte("{\"vault_path\":\"secret/tls/moved\"}\nx\n{\"vault_path\":\"secret/tls/api\",\"status\":\"failed\"}\n")},
	})
	if err != nil || len(all) != 3 || !all["kv/old/gone"] || !all["secret/tls/moved"] || !all["secret/tls/api"] {
		t.Errorf("places %v, error %v", all, err)
	}
}

// TestRecorded checks that the reconciler knows the path of a newly issued certificate,
// and no other path.
func TestRecorded(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
	w.Settle()
	r := w.Reconciler()
	for place, want := range map[string]bool{"secret/tls/api": true, "secret/dns/token": false, "secret/tls": false} {
		if got, err := r.Recorded(t.Context(), place); got != want || err != nil {
			t.Errorf("%s: %v, %v", place, got, err)
		}
	}
}

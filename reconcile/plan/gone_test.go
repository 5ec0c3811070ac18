package plan_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/outbox"
	"certroll/reconcile/reconciletest"
)

// TestDeletedSecretIsTold checks that the deletion of a live secret pages once, is
// notified as tampering, and is followed by a reissue at once.
func TestDeletedSecretIsTold(t *testing.T) {
	for name, tc := range map[string]struct {
		undo func(w *reconciletest.World)
		says string
	}{
		"deleted":                   {func(w *reconciletest.World) { w.Vault.Deletes("secret/tls/api", true) }, "vault kv undelete -mount=secret -versions=1 tls/api brings it back without the CA"},
		"deleted with all versions": {func(w *reconciletest.World) { delete(w.Vault.Secrets, "secret/tls/api") }, "no command brings it back"},
	} {
		t.Run(name, func(t *testing.T) {
			w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"), reconciletest.Certificate("www", "www.example.com"))
			w.Settle()
			tc.undo(w)
			w.At = w.At.Add(time.Hour)
			w.Settle()
			deletions := w.Deletions(t)
			if len(deletions) != 1 || deletions[0].Severity != ledger.SeverityPage || !strings.Contains(deletions[0].Message, tc.says) || deletions[0].VaultPath != "secret/tls/api" {
				t.Fatalf("told: %+v", deletions)
			}
			events := w.Ledger.Events(t)
			if e := events[len(events)-1]; e.Operation != ledger.KindIssue || e.Reason != ledger.ReasonDeleted || e.Status != ledger.Success {
				t.Errorf("it was not issued again: %+v", e)
			}
			var kinds []outbox.NoticeKind
			for _, n := range outbox.Notices(events, len(events)-2) {
				kinds = append(kinds, n.Kinds[0])
			}
			if !slices.Equal(kinds, []outbox.NoticeKind{outbox.NoticeTampered, outbox.NoticeResolved}) {
				t.Errorf("notices: %v", kinds)
			}
			if r := w.Ledger.Record(t, "api"); r.Gone != nil || r.StateAt(w.At) != ledger.StateInOrder {
				t.Errorf("the record after it: %+v", r)
			}
		})
	}
}

// TestDeletedSecretShowsUntilItIsBack checks that while the CA is down the record says
// that the secret is gone and how it returns. If a person restores it, certroll orders
// nothing.
func TestDeletedSecretShowsUntilItIsBack(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"), reconciletest.Certificate("www", "www.example.com"))
	w.Settle()
	w.Vault.Deletes("secret/tls/api", true)
	w.Ca.Fail = func(string, int) error { return &reconciletest.CaError{Code: "ca_unavailable", Text: "503"} }
	for range 3 {
		w.At = w.At.Add(time.Hour)
		if _, err := w.Apply(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(w.Deletions(t)); n != 1 {
		t.Errorf("%d events, want one", n)
	}
	r := w.Ledger.Record(t, "api")
	if r.Gone == nil || r.Gone.Version != 1 || r.StateAt(w.At) != ledger.StateDeleted || !strings.Contains(r.WaitsFor(), "vault kv undelete") || !strings.Contains(r.WaitsFor(), "503") {
		t.Errorf("the record says %q, gone %+v", r.WaitsFor(), r.Gone)
	}
	if page := string(w.Ledger.Tree["STATUS.md"].Data); !strings.Contains(page, "**deleted, page**") {
		t.Errorf("STATUS.md:\n%s", page)
	}
	orders := w.Ca.Calls["order"]
	w.Ca.Fail = nil
	w.Vault.Deletes("secret/tls/api", false)
	w.Settle()
	if r := w.Ledger.Record(t, "api"); r.Gone != nil || r.State != ledger.StateLive || w.Ca.Calls["order"] != orders {
		t.Errorf("%d orders; the record after it was brought back: %+v", w.Ca.Calls["order"]-orders, r)
	}
}

// TestDeletedWhileRenewalIsOff checks a deleted secret with renewal.auto off. certroll
// writes nothing, records that it left the secret alone, pages, and shows the problem
// until the secret is back.
func TestDeletedWhileRenewalIsOff(t *testing.T) {
	c := reconciletest.Certificate("api", "api.example.com")
	w := reconciletest.NewWorld(t, c, reconciletest.Certificate("www", "www.example.com"))
	w.Settle()
	c.Renewal.Auto = false
	w.Settle()
	w.Vault.Deletes("secret/tls/api", true)
	for range 2 {
		w.At = w.At.Add(time.Hour)
		w.Settle()
	}
	events := w.Ledger.Events(t)
	if e := events[len(events)-1]; e.Reason != ledger.ReasonLeftAlone || e.Severity != ledger.SeverityPage || len(w.Deletions(t)) != 0 {
		t.Errorf("event: %+v", e)
	}
	if r := w.Ledger.Record(t, "api"); r.StateAt(w.At) != ledger.StateDeleted {
		t.Errorf("its state is %s: %+v", r.StateAt(w.At), r)
	}
	w.Vault.Deletes("secret/tls/api", false)
	w.Settle()
	if r := w.Ledger.Record(t, "api"); r.StateAt(w.At) != ledger.StateUnmanaged || r.Gone != nil || len(w.Ca.Orders) != 2 {
		t.Errorf("its state is %s, %d orders: %+v", r.StateAt(w.At), len(w.Ca.Orders), r)
	}
}

// TestAnEmptyVaultIsOneProblem checks that deletions held by the brake are not recorded
// for each certificate.
func TestAnEmptyVaultIsOneProblem(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Crowd(20, "example.com")...)
	w.Settle()
	clear(w.Vault.Secrets)
	w.At = w.At.Add(time.Hour)
	w.Settle()
	if n := len(w.Deletions(t)); n != 0 {
		t.Errorf("%d events beside the brake's", n)
	}
}

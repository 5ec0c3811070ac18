package reconcile

import (
	"testing"
	"time"
)

// TestDriftIsRepairedWhileRenewalsAreHeld: a renewal that fails holds up no
// repair, which asks the CA for nothing; where it would have to, it waits as the
// renewal does.
func TestDriftIsRepairedWhileRenewalsAreHeld(t *testing.T) {
	w := newWorld(t, certificate("api", "api.example.com"))
	w.settle()
	serial := w.ledger.record(t, "api").Live.Serial
	w.at = start.Add(61 * day)
	until := w.at.Add(34 * time.Hour)
	w.ca.fail = func(string, int) error {
		return &caError{class: "rate_limited", text: "429 too many certificates", at: until}
	}
	if report, err := w.apply(t.Context()); err != nil || report.Failed() != 1 {
		t.Fatalf("report %+v, error %v", report, err)
	}
	w.at = w.at.Add(time.Hour)
	overwrite := func(version int) {
		t.Helper()
		if _, err := w.vault.Write(t.Context(), "secret", "tls/api", map[string]string{"tls.crt": "nonsense"}, version); err != nil {
			t.Fatal(err)
		}
	}
	overwrite(1)
	expect(t, w.only(), KindRepair, ReasonUnfinished, "") // the renewal's pending secret is there
	w.settle()
	if got := serialOf(w.secretPair("tls/api").leaf()); got != serial {
		t.Errorf("serial %s is there, want %s", got, serial)
	}
	a := w.only()
	if a.Kind != KindHold || a.Reason != ReasonRateLimited || !a.NotBefore.Equal(until) {
		t.Errorf("what the CA said of when to come back is forgotten: %s %s until %s", a.Kind, a.Reason, a.NotBefore)
	}
	overwrite(3)
	expect(t, w.only(), KindRepair, ReasonDrifted, "")
	w.vault.secrets["secret/tls/api"].versions[2].deleted = true
	if report, err := w.apply(t.Context()); err != nil || report.Failed() != 1 {
		t.Fatalf("report %+v, error %v", report, err)
	}
	if a := w.only(); a.Kind != KindHold || !a.NotBefore.Equal(until) || w.ca.calls["order"] != 2 {
		t.Errorf("%s %s until %s, %d orders", a.Kind, a.Reason, a.NotBefore, w.ca.calls["order"])
	}
}

package apply_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/observe"
	"certroll/reconcile/plan"
	"certroll/reconcile/reconciletest"
	"certroll/spec"
)

// TestUnreadableTakesNoTurn checks that the re-read before an order does not treat an
// unreadable secret as missing: that would use up the CA's rate limit.
func TestUnreadableTakesNoTurn(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("dark", "dark.example.com"), reconciletest.Certificate("fresh", "fresh.example.com"), reconciletest.Certificate("other", "other.example.com"))
	w.Desired.Issuers["ca"].Limits = &spec.Limits{Orders: spec.Limit{Burst: 2, Window: 3 * time.Hour}}
	w.Vault.Fail = func(_, path string) error {
		if path == "secret/tls/dark" {
			return observe.PlaceError{Err: errors.New("403 permission denied")}
		}
		return nil
	}
	r := w.Reconciler()
	obs, err := r.ObserveAgain(t.Context(), w.Desired, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	report, err := r.Apply(t.Context(), w.Desired, ledger.Revision{}, plan.New(w.Desired, obs, w.At))
	if err != nil || len(report.Results) != 2 || report.Failed() > 0 {
		t.Errorf("the two others: %+v, %v", report, err)
	}
}

// TestLookBeforeActing checks that a run re-reads only the secret that it acts on, and
// none of the others that have moved or have a pending secret.
func TestLookBeforeActing(t *testing.T) {
	all := reconciletest.Crowd(20, "example.com")
	w := reconciletest.NewWorld(t, all...)
	w.Settle()
	for _, c := range all[:10] {
		c.Vault.Path += "-moved"
	}
	w.Ca.Fail = func(op string, _ int) error {
		if op == "finish" {
			return errors.New("away")
		}
		return nil
	}
	for _, c := range all[10:] {
		c.Rotate = "leaked"
	}
	if report, err := w.Apply(t.Context()); err != nil || report.Failed() != 10 {
		t.Fatalf("%+v, %v", report, err)
	}
	w.Ca.Fail = nil
	w.Desired = reconciletest.Desire(append(all, reconciletest.Certificate("fresh", "fresh.example.com"))...)
	r, planned := w.Planned()
	looks := map[string]int{}
	w.Vault.Fail = func(op, path string) error {
		if op == "metadata" && !strings.HasSuffix(path, "fresh") {
			looks[path]++
		}
		return nil
	}
	if report, err := r.Apply(t.Context(), w.Desired, ledger.Revision{}, planned); err != nil || len(report.Results) != 1 {
		t.Fatalf("%+v, %v", report, err)
	}
	if len(looks) > 0 {
		t.Errorf("it looked at %d others: %v", len(looks), looks)
	}
}

package reconcile

import (
	"errors"
	"strings"
	"testing"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/observe"
	"certroll/reconcile/plan"
	"certroll/spec"
)

// TestUnreadableTakesNoTurn: what cannot be looked at is not taken for missing
// by the look before an order, where it would use up what a CA allows.
func TestUnreadableTakesNoTurn(t *testing.T) {
	w := newWorld(t, certificate("dark", "dark.example.com"), certificate("fresh", "fresh.example.com"), certificate("other", "other.example.com"))
	w.desired.Issuers["ca"].Limits = &spec.Limits{Orders: spec.Limit{Burst: 2, Window: 3 * time.Hour}}
	w.vault.fail = func(_, path string) error {
		if path == "secret/tls/dark" {
			return observe.PlaceError{Err: errors.New("403 permission denied")}
		}
		return nil
	}
	r := w.reconciler()
	obs, err := r.ObserveAgain(t.Context(), w.desired, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	report, err := r.Apply(t.Context(), w.desired, ledger.Revision{}, plan.Plan(w.desired, obs, w.at))
	if err != nil || len(report.Results) != 2 || report.Failed() > 0 {
		t.Errorf("the two others: %+v, %v", report, err)
	}
}

// TestLookBeforeActing: before it acts, a run looks again at what it acts on, and
// not at all that has moved, or that has a pending secret.
func TestLookBeforeActing(t *testing.T) {
	all := crowd(20, "example.com")
	w := newWorld(t, all...)
	w.settle()
	for _, c := range all[:10] {
		c.Vault.Path += "-moved"
	}
	w.ca.fail = func(op string, _ int) error {
		if op == "finish" {
			return errors.New("away")
		}
		return nil
	}
	for _, c := range all[10:] {
		c.Rotate = "leaked"
	}
	if report, err := w.apply(t.Context()); err != nil || report.Failed() != 10 {
		t.Fatalf("%+v, %v", report, err)
	}
	w.ca.fail = nil
	w.desired = desire(append(all, certificate("fresh", "fresh.example.com"))...)
	r, actions := w.planned()
	looks := map[string]int{}
	w.vault.fail = func(op, path string) error {
		if op == "metadata" && !strings.HasSuffix(path, "fresh") {
			looks[path]++
		}
		return nil
	}
	if report, err := r.Apply(t.Context(), w.desired, ledger.Revision{}, actions); err != nil || len(report.Results) != 1 {
		t.Fatalf("%+v, %v", report, err)
	}
	if len(looks) > 0 {
		t.Errorf("it looked at %d others: %v", len(looks), looks)
	}
}

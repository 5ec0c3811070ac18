package reconcile

import (
	"errors"
	"strings"
	"testing"

	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/spec"
)

// goesOn is a process that has seen the ledger, after which Git goes away.
func (w *world) goesOn() (again func()) {
	w.t.Helper()
	r := w.reconciler()
	if _, err := r.Observe(w.t.Context(), desire()); err != nil {
		w.t.Fatal(err)
	}
	w.ledger.err = errors.New("connection refused")
	var seen *plan.Observed
	return func() {
		w.t.Helper()
		look := func(names map[string]bool) {
			var err error
			if seen, err = r.ObserveAgain(w.t.Context(), w.desired, seen, names); err != nil {
				w.t.Fatal(err)
			}
		}
		look(nil)
		if _, err := r.Apply(w.t.Context(), w.desired, ledger.Revision{}, plan.Plan(w.desired, seen, w.at)); err == nil {
			w.t.Fatal("a ledger that cannot be reached gave no error")
		}
		look(r.Crew.TakeEnded())
	}
}

// TestRemovedBeforeGitIsBack: what on_remove says is done of a certificate that
// the journal alone knows.
func TestRemovedBeforeGitIsBack(t *testing.T) {
	c := certificate("api", "api.example.com")
	c.OnRemove = spec.Revoke
	w := newWorld(t, c)
	again := w.goesOn()
	again()
	w.desired = desire()
	again()
	if _, readable, _, _ := w.vault.ReadMetadata(t.Context(), "secret", "tls/api"); readable || len(w.ca.revoked) != 1 {
		t.Errorf("the secret is readable %v, revoked were %v", readable, w.ca.revoked)
	}
}

// TestMovedBeforeGitIsBack: a new place is used from the next renewal on, also of
// a certificate that the journal alone knows.
func TestMovedBeforeGitIsBack(t *testing.T) {
	c := certificate("api", "api.example.com")
	w := newWorld(t, c)
	again := w.goesOn()
	again()
	c.Vault.Path = "tls/moved"
	again()
	if n, _ := w.ca.ordered(); n != 1 {
		t.Errorf("%d orders, want 1", n)
	}
}

// TestIdleWhileGitIsAway: what is done and waits to be told is not done again with
// each pass, nor looked at.
func TestIdleWhileGitIsAway(t *testing.T) {
	w := newWorld(t, certificate("api", "api.example.com"))
	again := w.goesOn()
	again()
	looks := 0
	w.vault.fail = func(_, path string) error {
		if strings.HasPrefix(path, "secret/tls/") {
			looks++
		}
		return nil
	}
	again()
	if looks > 0 || len(w.journal.lines) != 1 {
		t.Errorf("an idle pass looked %d times, the journal has %d entries", looks, len(w.journal.lines))
	}
	w.ledger.err = nil
	w.settle()
	if keys := w.keysOfState(); len(keys) > 0 || len(w.ledger.events(t)) != 1 {
		t.Errorf("once Git is back %q stay, and %d events are told", keys, len(w.ledger.events(t)))
	}
}

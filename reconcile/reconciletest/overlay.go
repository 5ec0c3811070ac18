package reconciletest

import (
	"errors"

	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
)

// GoesOn is a process that has seen the ledger, after which Git goes away.
func (w *World) GoesOn() (again func()) {
	w.T.Helper()
	r := w.Reconciler()
	if _, err := r.Observe(w.T.Context(), Desire()); err != nil {
		w.T.Fatal(err)
	}
	w.Ledger.Err = errors.New("connection refused")
	var seen *plan.Observed
	return func() {
		w.T.Helper()
		look := func(names map[string]bool) {
			var err error
			if seen, err = r.ObserveAgain(w.T.Context(), w.Desired, seen, names); err != nil {
				w.T.Fatal(err)
			}
		}
		look(nil)
		if _, err := r.Apply(w.T.Context(), w.Desired, ledger.Revision{}, plan.Plan(w.Desired, seen, w.At)); err == nil {
			w.T.Fatal("a ledger that cannot be reached gave no error")
		}
		look(r.Crew.TakeEnded())
	}
}

package reconciletest

import (
	"context"

	"certroll/reconcile/apply"
	"certroll/reconcile/plan"
)

// Planned0 is planned where the ledger may be away.
func (w *World) Planned0() (*apply.Reconciler, []plan.Action) {
	r := w.Reconciler()
	obs, err := r.Observe(context.Background(), w.Desired)
	if err != nil {
		return nil, nil
	}
	return r, plan.Plan(w.Desired, obs, w.At)
}

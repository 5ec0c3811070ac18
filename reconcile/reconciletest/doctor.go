package reconciletest

import (
	"context"

	"certroll/reconcile/doctor"
	"certroll/reconcile/ledger"
)

func (w *World) Examine(o doctor.ExamineOptions) *doctor.Examination {
	w.T.Helper()
	x, err := doctor.Examine(context.Background(), w.Reconciler(), w.Desired, o)
	if err != nil {
		w.T.Fatal(err)
	}
	return x
}

func (w *World) Doctor() *doctor.Examination {
	w.T.Helper()
	x, err := doctor.Doctor(context.Background(), w.Reconciler(), w.Desired, ledger.Revision{Commit: "c0ffee"})
	if err != nil {
		w.T.Fatal(err)
	}
	return x
}

package reconciletest

import (
	"context"
	"strings"

	"certroll/reconcile/apply"
	"certroll/reconcile/attempt"
	"certroll/reconcile/observe"
	"certroll/reconcile/recorder"
)

// Kinds are the plan's kinds in the order of the names.
func (w *World) Kinds() string {
	w.T.Helper()
	var kinds []string
	for _, a := range w.Plan() {
		kinds = append(kinds, string(a.Kind))
	}
	return strings.Join(kinds, " ")
}

// Retry is what a person does, on a machine without a journal and Vault.
func (w *World) Retry(want recorder.Retry) ([]recorder.Retried, string, error) {
	r := apply.New(&observe.Observer{}, nil, nil, w.Ledger, nil, attempt.Options{Now: w.Opts.Now})
	return r.Retry(context.Background(), want)
}

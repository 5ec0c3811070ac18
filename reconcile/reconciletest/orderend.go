package reconciletest

import (
	"certroll/reconcile/ledger"
)

// SpoilFirst lets every finishing of the first order fail with err, and keeps the CA
// from handing that order out again.
func (w *World) SpoilFirst(err *CaError) {
	w.Ca.Fail = func(op string, _ int) error {
		if op != "finish" || len(w.Ca.Orders) > 1 {
			return nil
		}
		for url := range w.Ca.Orders {
			w.Ca.Orders[url] = []string{"spoiled.example.com"}
		}
		return err
	}
}

// UntilLive applies at the end of each hold, and returns after how many attempts
// the certificate was live.
func (w *World) UntilLive(most int) (attempts int) {
	w.T.Helper()
	for attempts = 1; attempts <= most; attempts++ {
		report, err := w.Apply(w.T.Context())
		if err != nil {
			w.T.Fatal(err)
		}
		if report.Failed() == 0 && len(report.Results) == 1 {
			return attempts
		}
		if a := w.Only(); a.Kind == ledger.KindHold {
			w.At = a.NotBefore
		}
	}
	w.T.Fatalf("it is not live after %d attempts", most)
	return 0
}

// PendingKey is the key of the pending secret.
func (w *World) PendingKey() string {
	w.T.Helper()
	d, err := w.Reconciler().PendingSecrets.Load(w.T.Context(), "api")
	if err != nil || d == nil {
		w.T.Fatalf("no pending secret: %v", err)
	}
	return d.KeyDigest
}

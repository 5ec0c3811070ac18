package reconciletest

import (
	"context"
	"fmt"
	"strings"
	"time"

	"certroll/reconcile/apply"
	"certroll/reconcile/attempt"
	"certroll/reconcile/ledger"
	"certroll/reconcile/observe"
	"certroll/reconcile/plan"
	"certroll/spec"
)

// Without takes the first n blocks out of the spec.
func (w *World) Without(n int) { w.Desired.Certificates = w.Desired.Certificates[n:] }

// Lose removes the secrets of the first n certificates, metadata and all.
func (w *World) Lose(n int) {
	for i := range n {
		delete(w.Vault.Secrets, fmt.Sprintf("secret/tls/c%02d", i))
	}
}

// Stopped counts what the brake holds, and fails where what it holds is acted on.
func (w *World) Stopped() int {
	w.T.Helper()
	n := 0
	for _, a := range w.Plan() {
		if a.Reason == ledger.ReasonMass {
			n++
			if a.Kind != ledger.KindHold || !strings.Contains(a.Detail, "certroll accept --missing "+a.Mass.ID) {
				w.T.Errorf("%s: %s %s", a.Certificate, a.Kind, a.Detail)
			}
		}
	}
	return n
}

// Consented is what was observed with a person's consent to all that is held.
func Consented(desired *spec.Spec, obs *plan.Observed, now time.Time) {
	set := *plan.MassHold(plan.Plan(desired, obs, now))
	set.AcceptedAt = &now
	obs.Accept(&set)
}

// Accept is a person's consent, on a machine without Vault.
func (w *World) Accept(id string) (*ledger.HeldSet, error) {
	r := apply.New(&observe.Observer{}, nil, nil, w.Ledger, nil, attempt.Options{Now: w.Opts.Now})
	return r.AcceptHeld(context.Background(), id, nil, "ann@desk", "what is held")
}

package attempt

import (
	"context"

	"certroll/reconcile/pending"
	"certroll/reconcile/plan"
)

// Unfinished resumes the pending secret of an earlier run that seems to have written its
// pair. Without a chain that run cannot have written: the version after the one it saw is
// another program's.
func (a *Attempt) Unfinished(ctx context.Context) error {
	d, err := a.PendingSecrets.Load(ctx, a.Action.Certificate)
	if err != nil {
		return err
	}
	if pending.PhaseOf(d) >= pending.PhaseChained {
		a.Pending = d
		return a.runSteps(ctx, resumeSteps)
	}
	if err := a.discard(ctx); err != nil {
		return err
	}
	if !plan.RenewsAt(a.Action.Spec, a.Clock()) {
		a.Live = a.knownLive() // the next plan notes that the foreign secret is left alone
		return nil
	}
	if a.Action.Secret.Owner == a.Action.Certificate {
		return a.repair(ctx)
	}
	return a.adopt(ctx)
}

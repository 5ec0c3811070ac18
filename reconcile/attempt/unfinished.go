package attempt

import (
	"context"

	"certroll/reconcile/pending"
	"certroll/reconcile/plan"
)

// The steps that finish what an earlier run had come to write, as that run
// meant it.
var resumeSteps = []step{
	{"verify", (*Attempt).verify},
	{"keep", (*Attempt).keepReplaced},
	{"write", (*Attempt).write},
	{"stage", (*Attempt).stageDrafted},
	{"describe", (*Attempt).describe},
	{"previous", (*Attempt).tidyPrevious},
	{"revoke", (*Attempt).revokeReplaced},
	{"ask", (*Attempt).askRenewalInfo},
	{"sweep", (*Attempt).sweepInherited},
}

// Unfinished takes up the draft of an earlier run that seems to have written
// its pair. A draft without a chain cannot have: then the version that follows
// the one it saw is somebody else's.
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
		a.Live = a.knownLive() // what somebody wrote is left alone, as the next plan notes
		return nil
	}
	if a.Action.Secret.Owner == a.Action.Certificate {
		return a.repair(ctx)
	}
	return a.adopt(ctx)
}

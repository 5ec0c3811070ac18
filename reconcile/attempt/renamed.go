package attempt

import (
	"context"
	"fmt"
	"time"

	"certroll/reconcile/failure"
	"certroll/reconcile/ledger"
)

// moves tells that the attempt gives a secret the certificate's name by a moved block.
func (a *Attempt) moves() bool {
	return a.Action.Kind == ledger.KindAdopt && a.Action.Reason == ledger.ReasonRenamed
}

// goesOn tells that a record is closed because it goes on under another name: its
// failures have not ended.
func (a *Attempt) goesOn() bool {
	return a.Action.Kind == ledger.KindRetire && a.Action.Reason == ledger.ReasonRenamed
}

// rename gives the secret the certificate's name. Neither the pair nor anything that is
// known of it changes.
func (a *Attempt) rename(ctx context.Context) error {
	at, was := a.Action.At, a.Action.Secret
	a.Report("adopt", fmt.Sprintf("moving %s from %s to %s", at, a.Action.Former, a.Action.Certificate))
	seen, err := a.Observer.Secret(ctx, at)
	if err != nil {
		return err
	}
	if seen.Owner != was.Owner || seen.Live == nil || seen.Live.Serial != was.Live.Serial {
		return &failure.Error{Code: ledger.ClassVault, Err: fmt.Errorf("moving %s from %s to %s: its metadata has changed meanwhile", at, a.Action.Former, a.Action.Certificate)}
	}
	a.Live = ledger.KeepNames(was.Live, a.recordLive()).WithoutNext()
	if err := a.stageHere(ctx); err != nil {
		return err
	}
	return a.describeRestored(ctx)
}

// takesOver is the name that the certificate goes on from by a moved block, or of the one
// that what is adopted belonged to, where the spec has that one no more; "" for anything
// else.
func (a *Attempt) takesOver() string {
	if a.Action.Former != "" {
		return a.Action.Former
	}
	if a.Action.Kind != ledger.KindAdopt {
		return ""
	}
	owner := a.Action.Secret.Owner
	if owner == a.Action.Certificate || owner == "" || a.Desired.Certificate(owner) != nil {
		return ""
	}
	return owner
}

// actor names who is behind the action: also of a certificate that was renamed without a
// moved block, whose adoption the commit has asked for.
func (a *Attempt) actor(reason ledger.Reason) (actor, cause string) {
	if reason == ledger.ReasonForeign && a.takesOver() != "" && !a.Action.Record.HasSecret() {
		reason = ledger.ReasonRenamed
	}
	return a.Applier.actor(reason)
}

// noteFormer keeps in the record which name its history begins under.
func (a *Attempt) noteFormer(r *ledger.Record, now time.Time) { r.ComesFrom(a.takesOver(), now) }

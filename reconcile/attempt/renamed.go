package attempt

import (
	"context"
	"fmt"
	"slices"
	"time"

	"certroll/reconcile/failure"
	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
)

// moves reports whether the attempt renames a certificate by a moved block.
func (a *Attempt) moves() bool {
	return a.Action.Kind == ledger.KindAdopt && a.Action.Reason == ledger.ReasonRenamed
}

// goesOn reports whether the attempt closes a record because the certificate continues
// under another name. The failures of the record continue there too.
func (a *Attempt) goesOn() bool {
	return a.Action.Kind == ledger.KindRetire && a.Action.Reason == ledger.ReasonRenamed
}

// rename gives the secret the certificate's new name in the metadata. The pair stays, and
// so does everything recorded about it.
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
	if err := a.carryNext(ctx, was.Live); err != nil {
		return err
	}
	a.Live = ledger.KeepNames(was.Live, a.recordLive()).WithoutNext()
	if err := a.stageHere(ctx); err != nil {
		return err
	}
	if err := a.describeRestored(ctx); err != nil || was.Live.NextKeyDigest == "" {
		return err
	}
	return a.Next.Drop(ctx, a.Action.Former)
}

// carryNext stages the published key of the former name under the new name: TLSA records
// and pins may name it. A key that the certificate would not use, or that another
// directory of the config repo would get, is not carried.
func (a *Attempt) carryNext(ctx context.Context, was *ledger.Live) error {
	c := a.Action.Spec
	if !c.Key.Next || was.NextKeyDigest == "" || a.changesHands(was) {
		return nil
	}
	own, err := a.Next.Load(ctx, c.Name)
	if err != nil || own != nil {
		return err
	}
	n, err := a.Next.Load(ctx, a.Action.Former)
	switch {
	case err != nil && failure.ClassOf(err) == ledger.ClassVault:
		return err
	case err != nil || n == nil:
		return nil //nolint:nilerr // another one is staged
	case n.Digest != was.NextKeyDigest || n.Digest == was.KeyDigest || n.Shape != keypair.ShapeOf(c.Key, was.KeyShape):
		return nil
	}
	a.Report("stage", "keeping the staged key under the new name")
	return a.Next.Put(ctx, c.Name, n)
}

// leavesNext reports whether a retirement leaves the staged key to the move of the
// certificate, which may not have come to it yet, and which destroys it after that.
func (a *Attempt) leavesNext(ctx context.Context, r *ledger.Record) (bool, error) {
	if !a.goesOn() {
		return false, nil
	}
	for _, c := range a.Desired.Certificates {
		if c.Key.Next && slices.Contains(c.MovedFrom, r.Certificate) {
			n, err := a.Next.Load(ctx, c.Name)
			return n == nil, err
		}
	}
	return false, nil
}

// takesOver returns the former name of the certificate: the one of a moved block, or the
// owner of the adopted secret if the spec no longer has that owner; otherwise "".
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

// actor names the cause of the action. A certificate renamed without a moved block counts
// as renamed too: the commit requested its adoption.
func (a *Attempt) actor(reason ledger.Reason) (actor, cause string) {
	if reason == ledger.ReasonForeign && a.takesOver() != "" && !a.Action.Record.HasSecret() {
		reason = ledger.ReasonRenamed
	}
	return a.Applier.actor(reason)
}

// noteFormer stores in the record the name under which its history begins.
func (a *Attempt) noteFormer(r *ledger.Record, now time.Time) { r.ComesFrom(a.takesOver(), now) }

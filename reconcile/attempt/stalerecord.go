package attempt

import (
	"context"

	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
)

// knownLive returns the pair that certroll wrote last: from the metadata, else from the
// record.
func (a *Attempt) knownLive() *ledger.Live {
	if s := a.Action.Secret; s.Live != nil && s.Owner == a.Action.Certificate {
		return ledger.KeepNames(s.Live, a.recordLive())
	}
	return a.recordLive()
}

// catchUp rebuilds the record from Vault's metadata of the live pair. It discards a stray
// pending secret, and one of an attempt that is no longer needed.
func (a *Attempt) catchUp(ctx context.Context) error {
	if a.Action.Reason == ledger.ReasonLeftAlone {
		a.Live = a.knownLive()
		return nil
	}
	live := *ledger.KeepNames(a.Action.Secret.Live, a.recordLive())
	if names := a.Action.Spec.Names(); keypair.NamesDigest(names) == live.NamesDigest {
		live.Names = names
	}
	a.Live = &live
	if err := a.tidyPrevious(ctx); err != nil {
		return err
	}
	stray := a.Action.Pending != nil && a.Action.Pending.Stray
	if r := a.Action.Record; stray || r != nil && r.State == ledger.StateFailing {
		return a.discard(ctx)
	}
	return nil
}

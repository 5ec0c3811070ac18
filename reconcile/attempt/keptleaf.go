package attempt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"certroll/reconcile/failure"
	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
)

// keepReplaced stores the certificate that a rotation revokes before the write that may
// push its version out of Vault's history. Its failure does not stop the rotation: a
// leaked key has to be replaced. The old version may still exist when the revocation
// runs; if not, the event reports it.
func (a *Attempt) keepReplaced(ctx context.Context) error {
	if a.Pending == nil || a.Pending.Revokes == nil {
		return nil
	}
	r := a.Pending.Revokes
	err := a.keepLeaf(ctx, r)
	if err == nil || failure.IsInterrupt(ctx, err) {
		return err
	}
	a.leafErr = fmt.Errorf("keeping the certificate of serial %s for its revocation: %w", r.Serial, err)
	a.Report("revoke", failure.Message(a.leafErr))
	return nil
}

// keepLeaf copies the certificate to revoke from its version to Leaves.
func (a *Attempt) keepLeaf(ctx context.Context, r *ledger.Revocation) error {
	data, err := a.Secrets.ReadVersion(ctx, r.Mount, r.Path, r.Version)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // an earlier run stored it, or it is gone
	}
	if err != nil {
		return err
	}
	p, err := keypair.FindIn(data)
	if err != nil || keypair.SerialOf(p.Leaf()) != r.Serial {
		return nil //nolint:nilerr // RevokeOne reports the unexpected content
	}
	return a.Leaves.Keep(ctx, a.Action.Certificate, p.Leaf(), a.Clock())
}

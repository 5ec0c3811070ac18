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

// keepReplaced keeps what the rotation is to revoke before the write that may
// destroy it. A key that leaked is replaced even where that fails: the old version
// may be there still, and where it is not the event says so.
func (a *Attempt) keepReplaced(ctx context.Context) error {
	if a.Pending == nil || a.Pending.Revokes == nil {
		return nil
	}
	r := a.Pending.Revokes
	err := a.keepLeaf(ctx, r)
	if err == nil || failure.IsInterrupt(ctx, err) {
		return err
	}
	a.unkept = fmt.Errorf("keeping the certificate of serial %s for its revocation: %w", r.Serial, err)
	a.Report("revoke", failure.Message(a.unkept))
	return nil
}

func (a *Attempt) keepLeaf(ctx context.Context, r *ledger.Revocation) error {
	data, err := a.Secrets.ReadVersion(ctx, r.Mount, r.Path, r.Version)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it is kept since an earlier run, or gone
	}
	if err != nil {
		return err
	}
	p, err := keypair.FindIn(data)
	if err != nil || keypair.SerialOf(p.Leaf()) != r.Serial {
		return nil //nolint:nilerr // revokeOne says what it is instead
	}
	return a.Leaves.Keep(ctx, a.Action.Certificate, p.Leaf(), a.Clock())
}

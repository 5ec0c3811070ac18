package attempt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"certroll/reconcile/failure"
	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/spec"
)

// retire handles a certificate that left the spec by the on_remove stored in its record.
func (a *Attempt) retire(ctx context.Context) error {
	r := a.Action.Record
	if r.State == ledger.StateRetired {
		a.tellWritten(ctx)
	}
	// First, so that no later run resumes an attempt for a certificate without a block.
	if err := a.discard(ctx); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := a.withdraw(ctx, r); err != nil {
		return err
	}
	s := a.Action.Secret
	if r.Live == nil || r.OnRemove == spec.Keep || r.OnRemove == "" || !s.Readable || s.Owner != r.Certificate {
		return nil
	}
	if a.hasHeir() {
		return nil
	}
	// The revocation reads the certificate from the secret, so that it precedes the
	// deletion.
	if r.OnRemove == spec.Revoke {
		if err := a.revoke(ctx); err != nil {
			return err
		}
	}
	a.Report("retire", "deleting "+a.Action.At.String())
	return a.Secrets.Delete(ctx, a.Action.At.Mount, a.Action.At.Path)
}

// cessationOfOperation is the reason code (RFC 5280 section 5.3.1) for a certificate that
// is no longer needed.
const cessationOfOperation = 5

// revoke revokes the certificate of the secret before retire deletes it.
func (a *Attempt) revoke(ctx context.Context) error {
	r := a.Action.Record
	issuer := plan.IssuerOf(a.Desired, nil, r.Live)
	if issuer == nil {
		return &failure.Error{Code: ledger.ClassConfig, Denied: true, Err: fmt.Errorf(
			"revoking %q: its issuer %q is no longer in the spec as it was; bring the issuer block back, or restore the certificate's block with on_remove = \"delete\"",
			r.Certificate, r.Live.Issuer)}
	}
	data, _, err := a.Secrets.Read(ctx, a.Action.At.Mount, a.Action.At.Path)
	if err != nil {
		return err
	}
	p, err := keypair.FindIn(data)
	if err != nil {
		return &failure.Error{Code: ledger.ClassConfig, Err: fmt.Errorf("revoking %q: reading its certificate from %s: %w", r.Certificate, a.Action.At, err)}
	}
	if p.Leaf().NotAfter.Before(a.Clock().Add(-time.Minute)) {
		return nil // expired: a CA revokes only certificates that are still valid
	}
	a.Report("retire", "revoking serial "+keypair.SerialOf(p.Leaf()))
	return a.Ca.Revoke(ctx, issuer, p.Leaf().Raw, cessationOfOperation)
}

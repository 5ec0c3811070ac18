package attempt

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"

	"certroll/reconcile/failure"
	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
)

// revokes returns the certificate that the rotation asks to revoke and the version that
// holds it; nil if the rotation revokes nothing. If the secret was deleted meanwhile, the
// certificate comes from the record: the attempt then reports that there is nothing left
// to read, instead of dropping the request.
func (a *Attempt) revokes() *ledger.Revocation {
	r, text, wish := a.Action.Record, a.Action.Spec.Rotate, a.Action.Spec.RotateRevoke
	l := a.Action.Secret.Live
	if a.Action.Secret.Owner != a.Action.Certificate && r.HasSecret() {
		l = r.Live
	}
	if text == "" || wish == nil || l == nil || l.Satisfies(text) || r.Rotated(text) {
		return nil
	}
	return &ledger.Revocation{
		Serial: l.Serial, Issuer: l.Issuer, Directory: l.Directory, Mount: l.Mount, Path: l.Path, Version: l.Version, Code: wish.Code, NotAfter: l.NotAfter.UTC(),
	}
}

// revokeReplaced revokes the replaced certificate if the rotation asks for it. The new
// certificate is live by then, so an error does not fail the rotation: the record keeps
// the revocation and the next pass retries.
func (a *Attempt) revokeReplaced(ctx context.Context) error {
	if a.Pending == nil || a.Pending.Revokes == nil {
		return nil
	}
	todo := a.Pending.Revokes
	if err := a.RevokeOne(ctx, todo); err != nil {
		a.Report("revoke", "it is tried again with the next pass: "+failure.Message(err))
		a.unrevoked, a.notRevoked = todo, err
		return nil
	}
	a.settled = todo.Serial
	return nil
}

// revokeEarlier performs the first revocation that an earlier attempt left in the record.
func (a *Attempt) revokeEarlier(ctx context.Context) error {
	a.Live = ledger.KeepNames(a.Action.Secret.Live, a.recordLive())
	todo := &a.Action.Record.Revocations[0]
	if err := a.RevokeOne(ctx, todo); err != nil {
		return err
	}
	a.settled = todo.Serial
	return nil
}

// RevokeOne revokes one certificate. It skips an expired one and then reports no
// revocation, because a CA revokes only certificates that are still valid.
func (a *Attempt) RevokeOne(ctx context.Context, r *ledger.Revocation) error {
	if !r.NotAfter.IsZero() && r.NotAfter.Before(a.Clock()) {
		leaf, err := a.Leaves.Find(ctx, a.Action.Certificate, r.Serial)
		a.forgetLeaf(r, err == nil && leaf != nil)
		return nil
	}
	directory := r.Directory
	if l := a.recordLive(); directory == "" && l != nil && l.Issuer == r.Issuer {
		directory = l.Directory
	}
	issuer := plan.IssuerAt(a.Desired, a.Action.Spec, r.Issuer, directory)
	if issuer == nil {
		return &failure.Error{Code: ledger.ClassConfig, Err: fmt.Errorf("revoking serial %s: issuer.%s, which issued it, is no longer in the spec: bring its block back", r.Serial, r.Issuer)}
	}
	// Find's error is ignored: the secret's version may still have the certificate.
	leaf, err := a.Leaves.Find(ctx, a.Action.Certificate, r.Serial)
	stored := err == nil && leaf != nil
	if !stored {
		if leaf, err = a.leafInVersion(ctx, r); err != nil {
			return err
		}
	}
	if leaf.NotAfter.Before(a.Clock()) {
		a.forgetLeaf(r, stored)
		return nil
	}
	if err := a.replaced(ctx, r, stored); err != nil {
		return err
	}
	a.Report("revoke", "revoking serial "+r.Serial)
	if err := a.Ca.Revoke(ctx, issuer, leaf.Raw, r.Code); err != nil {
		return err
	}
	a.revoked = r.Serial
	a.forgetLeaf(r, stored)
	return nil
}

// forgetLeaf marks a kept certificate for removal once the ledger has the event.
func (a *Attempt) forgetLeaf(r *ledger.Revocation, stored bool) {
	if stored {
		a.forgets = r.Serial
	}
}

// leafInVersion reads the certificate to revoke from the version of the secret that held
// it.
func (a *Attempt) leafInVersion(ctx context.Context, r *ledger.Revocation) (*x509.Certificate, error) {
	at := ledger.Location{Mount: r.Mount, Path: r.Path}
	data, err := a.Secrets.ReadVersion(ctx, r.Mount, r.Path, r.Version)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &failure.Error{Code: ledger.ClassConfig, Err: errors.Join(
			fmt.Errorf("revoking serial %s: version %d of %s, which holds it, is gone: revoke it at the CA by hand", r.Serial, r.Version, at), a.leafErr)}
	}
	if err != nil {
		return nil, err
	}
	p, err := keypair.FindIn(data)
	if err != nil {
		return nil, &failure.Error{Code: ledger.ClassConfig, Err: fmt.Errorf("revoking serial %s: reading its certificate from version %d of %s: %w", r.Serial, r.Version, at, err)}
	}
	if keypair.SerialOf(p.Leaf()) != r.Serial {
		return nil, &failure.Error{Code: ledger.ClassConfig, Denied: true, Err: fmt.Errorf("revoking serial %s: version %d of %s holds serial %s; nothing was revoked", r.Serial, r.Version, at, keypair.SerialOf(p.Leaf()))}
	}
	return p.Leaf(), nil
}

// replaced checks that the certificate to revoke was this certificate's and is not live.
// The record claims both, but anyone who can push to the ledger can write a record. A
// certificate that certroll kept in Vault needs no check of its owner: only certroll
// writes there, whatever became of the secret since.
func (a *Attempt) replaced(ctx context.Context, r *ledger.Revocation, stored bool) error {
	at := ledger.Location{Mount: r.Mount, Path: r.Path}
	s, err := a.Observer.Secret(ctx, at)
	if err != nil {
		return fmt.Errorf("revoking serial %s: %w", r.Serial, err)
	}
	var why string
	switch {
	case !stored && s.Owner != a.Action.Certificate:
		why = fmt.Sprintf("%s is not this certificate's", at)
	case a.Live != nil && a.Live.Serial == r.Serial:
		why = "it is what is live"
	default:
		return nil
	}
	return &failure.Error{Code: ledger.ClassConfig, Denied: true, Err: fmt.Errorf(
		"revoking serial %s: %s, though the ledger's record says that it was replaced; nothing was revoked: see who pushes to the ledger, and take the entry out of the record's revocations", r.Serial, why)}
}

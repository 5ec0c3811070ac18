package apply

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"certroll/reconcile/failure"
	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/observe"
	"certroll/reconcile/plan"
	"certroll/spec"
)

// adopt takes over a secret that is already there, if its pair is sound and
// carries the names of the spec. Nothing in the secret is changed.
func (a *Attempt) adopt(ctx context.Context) error {
	at := a.Action.At
	a.Report("adopt", "reading "+at.String())
	data, version, err := a.Secrets.Read(ctx, at.Mount, at.Path)
	if err != nil {
		return err
	}
	p, err := keypair.FindIn(data)
	if err == nil {
		err = p.Check(a.Action.Spec.Names(), a.now())
	}
	if err != nil {
		return &failure.Error{Code: ledger.ClassConfig, Denied: true, Err: fmt.Errorf(
			"adopting what is at %s: %w; it is not overwritten: choose another vault.path, or delete that secret (vault kv delete) to have it issued", at, err)}
	}
	return a.take(ctx, p, version, nil)
}

// take makes a pair that is at the action's place the live one. signer is the issuer
// that is known to have signed it; nil: nobody knows, and it counts as that of the
// issuer which renews it.
func (a *Attempt) take(ctx context.Context, p keypair.Pair, version int, signer *spec.Issuer) error {
	digest, err := keypair.KeyDigest(p.Leaf().PublicKey)
	if err != nil {
		return err
	}
	c, issuer, leaf := a.Action.Spec, a.Action.Issuer, p.Leaf()
	if signer != nil {
		issuer = signer
	}
	a.pair = p
	rotate, file, was := c.Rotate, c.File, a.Action.Secret.Live
	if was != nil && a.Action.Secret.Owner == c.Name {
		rotate = was.Rotate // a request that came meanwhile is still to be done
	}
	if was != nil && was.KeyDigest == digest {
		file = was.File // whoever takes a secret over did not have its key made
	}
	a.Live = &ledger.Live{
		Serial: keypair.SerialOf(leaf), NotBefore: leaf.NotBefore.UTC(), NotAfter: leaf.NotAfter.UTC(),
		Names: c.Names(), NamesDigest: keypair.NamesDigest(c.Names()),
		KeyDigest: digest, KeyShape: keypair.KeyShape(leaf.PublicKey), KeySince: leaf.NotBefore.UTC(),
		Issuer: issuer.Name, Directory: issuer.Directory, Profile: issuer.Profile,
		Mount: a.Action.At.Mount, Path: a.Action.At.Path, Version: version,
		Revision: a.revision.Commit, File: file, Rotate: rotate, IssuedAt: leaf.NotBefore.UTC(),
		// No ARI: another account may have ordered it, and only that one may
		// have it replaced. Until the next renewal the threshold decides.
	}
	a.Live.SetChain(p.Chain, nil)
	a.Live.Adopted = signer == nil
	if err := a.stageHere(ctx); err != nil {
		return err
	}
	return a.describe(ctx)
}

// describeRestored notes the new version of a pair whose serial stays.
func (a *Attempt) describeRestored(ctx context.Context) error {
	seen, err := a.Observer.Secret(ctx, a.Action.At)
	if err != nil {
		return err
	}
	return a.Secrets.WriteMetadata(ctx, a.Action.At.Mount, a.Action.At.Path, observe.EncodeMeta(seen.Custom, a.Action.Certificate, a.Live))
}

func (a *Attempt) recordLive() *ledger.Live {
	if a.Action.Record == nil {
		return nil
	}
	return a.Action.Record.Live
}

// retire does what on_remove said, as the record keeps it.
func (a *Attempt) retire(ctx context.Context) error {
	r := a.Action.Record
	if r.State == ledger.StateRetired {
		a.tellWritten(ctx)
	}
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
	if r.OnRemove == spec.Revoke {
		if err := a.revoke(ctx); err != nil {
			return err
		}
	}
	a.Report("retire", "deleting "+a.Action.At.String())
	return a.Secrets.Delete(ctx, a.Action.At.Mount, a.Action.At.Path)
}

// cessationOfOperation is the RFC 5280 (section 5.3.1) reason code for a
// certificate that is no longer wanted.
const cessationOfOperation = 5

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
	if p.Leaf().NotAfter.Before(a.now().Add(-time.Minute)) {
		return nil // expired: no CA revokes it any more, nor need it
	}
	a.Report("retire", "revoking serial "+keypair.SerialOf(p.Leaf()))
	return a.ca.Revoke(ctx, issuer, p.Leaf().Raw, cessationOfOperation)
}

package reconcile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"certroll/spec"
)

// adopt takes over a secret that is already there, if its pair is sound and
// carries the names of the spec. Nothing in the secret is changed.
func (a *attempt) adopt(ctx context.Context) error {
	at := a.action.At
	a.report("adopt", "reading "+at.String())
	data, version, err := a.secrets.Read(ctx, at.Mount, at.Path)
	if err != nil {
		return err
	}
	p, err := findIn(data)
	if err == nil {
		err = p.check(a.action.Spec.Names(), a.now())
	}
	if err != nil {
		return &failure{code: ClassConfig, denied: true, err: fmt.Errorf(
			"adopting what is at %s: %w; it is not overwritten: choose another vault.path, or delete that secret (vault kv delete) to have it issued", at, err)}
	}
	return a.take(ctx, p, version, nil)
}

// take makes a pair that is at the action's place the live one. signer is the issuer
// that is known to have signed it; nil: nobody knows, and it counts as that of the
// issuer which renews it.
func (a *attempt) take(ctx context.Context, p pair, version int, signer *spec.Issuer) error {
	digest, err := keyDigest(p.leaf().PublicKey)
	if err != nil {
		return err
	}
	c, issuer, leaf := a.action.Spec, a.action.Issuer, p.leaf()
	if signer != nil {
		issuer = signer
	}
	a.pair = p
	rotate, file, was := c.Rotate, c.File, a.action.Secret.Live
	if was != nil && a.action.Secret.Owner == c.Name {
		rotate = was.Rotate // a request that came meanwhile is still to be done
	}
	if was != nil && was.KeyDigest == digest {
		file = was.File // whoever takes a secret over did not have its key made
	}
	a.live = &Live{
		Serial: serialOf(leaf), NotBefore: leaf.NotBefore.UTC(), NotAfter: leaf.NotAfter.UTC(),
		Names: c.Names(), NamesDigest: namesDigest(c.Names()),
		KeyDigest: digest, KeyShape: KeyShape(leaf.PublicKey), KeySince: leaf.NotBefore.UTC(),
		Issuer: issuer.Name, Directory: issuer.Directory, Profile: issuer.Profile,
		Mount: a.action.At.Mount, Path: a.action.At.Path, Version: version,
		Revision: a.revision.Commit, File: file, Rotate: rotate, IssuedAt: leaf.NotBefore.UTC(),
		// No ARI: another account may have ordered it, and only that one may
		// have it replaced. Until the next renewal the threshold decides.
	}
	a.live.setChain(p.chain, nil)
	a.live.Adopted = signer == nil
	if err := a.stageHere(ctx); err != nil {
		return err
	}
	return a.describe(ctx)
}

// describeRestored notes the new version of a pair whose serial stays.
func (a *attempt) describeRestored(ctx context.Context) error {
	seen, err := a.observer.Secret(ctx, a.action.At)
	if err != nil {
		return err
	}
	return a.secrets.WriteMetadata(ctx, a.action.At.Mount, a.action.At.Path, encodeMeta(seen.Custom, a.action.Certificate, a.live))
}

func (a *attempt) recordLive() *Live {
	if a.action.Record == nil {
		return nil
	}
	return a.action.Record.Live
}

// retire does what on_remove said, as the record keeps it.
func (a *attempt) retire(ctx context.Context) error {
	r := a.action.Record
	if r.State == StateRetired {
		a.tellWritten(ctx)
	}
	if err := a.discard(ctx); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := a.withdraw(ctx, r); err != nil {
		return err
	}
	s := a.action.Secret
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
	a.report("retire", "deleting "+a.action.At.String())
	return a.secrets.Delete(ctx, a.action.At.Mount, a.action.At.Path)
}

// cessationOfOperation is the RFC 5280 (section 5.3.1) reason code for a
// certificate that is no longer wanted.
const cessationOfOperation = 5

func (a *attempt) revoke(ctx context.Context) error {
	r := a.action.Record
	issuer := issuerOf(a.desired, nil, r.Live)
	if issuer == nil {
		return &failure{code: ClassConfig, denied: true, err: fmt.Errorf(
			"revoking %q: its issuer %q is no longer in the spec as it was; bring the issuer block back, or restore the certificate's block with on_remove = \"delete\"",
			r.Certificate, r.Live.Issuer)}
	}
	data, _, err := a.secrets.Read(ctx, a.action.At.Mount, a.action.At.Path)
	if err != nil {
		return err
	}
	p, err := findIn(data)
	if err != nil {
		return &failure{code: ClassConfig, err: fmt.Errorf("revoking %q: reading its certificate from %s: %w", r.Certificate, a.action.At, err)}
	}
	if p.leaf().NotAfter.Before(a.now().Add(-time.Minute)) {
		return nil // expired: no CA revokes it any more, nor need it
	}
	a.report("retire", "revoking serial "+serialOf(p.leaf()))
	return a.ca.Revoke(ctx, issuer, p.leaf().Raw, cessationOfOperation)
}

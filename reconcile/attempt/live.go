package attempt

import (
	"context"

	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/observe"
	"certroll/spec"
)

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
		Revision: a.Revision.Commit, File: file, Rotate: rotate, IssuedAt: leaf.NotBefore.UTC(),
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

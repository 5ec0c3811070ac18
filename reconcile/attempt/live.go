package attempt

import (
	"context"

	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/observe"
	"certroll/spec"
)

// take records the pair at the action's place as the live one. signer is the issuer that
// signed it. If signer is nil, the signer is unknown and the pair counts as that of the
// issuer that will renew it.
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
		rotate = was.Rotate // a rotation requested meanwhile still has to run
	}
	if was != nil && was.KeyDigest == digest {
		file = was.File // taking a secret over does not make its key
	}
	a.Live = &ledger.Live{
		Serial: keypair.SerialOf(leaf), NotBefore: leaf.NotBefore.UTC(), NotAfter: leaf.NotAfter.UTC(),
		Names: c.Names(), NamesDigest: keypair.NamesDigest(c.Names()),
		KeyDigest: digest, KeyShape: keypair.KeyShape(leaf.PublicKey), KeySince: leaf.NotBefore.UTC(),
		Issuer: issuer.Name, Directory: issuer.Directory, Profile: issuer.Profile,
		Mount: a.Action.At.Mount, Path: a.Action.At.Path, Version: version,
		Revision: a.Revision.Commit, File: file, Rotate: rotate, IssuedAt: leaf.NotBefore.UTC(),
		// No ARI identifier: another account may have ordered the certificate, and a CA
		// rejects replaces from another account (RFC 9773 section 5). The threshold
		// decides about the next renewal.
	}
	a.Live.SetChain(p.Chain, nil)
	a.Live.Adopted = signer == nil
	if err := a.stageHere(ctx); err != nil {
		return err
	}
	return a.describe(ctx)
}

// describeRestored writes the new version number of a pair whose serial is unchanged.
func (a *Attempt) describeRestored(ctx context.Context) error {
	seen, err := a.Observer.Secret(ctx, a.Action.At)
	if err != nil {
		return err
	}
	return a.Secrets.WriteMetadata(ctx, a.Action.At.Mount, a.Action.At.Path, observe.EncodeMeta(seen.Custom, a.Action.Certificate, a.Live))
}

// recordLive returns the record's live pair, or nil.
func (a *Attempt) recordLive() *ledger.Live {
	if a.Action.Record == nil {
		return nil
	}
	return a.Action.Record.Live
}

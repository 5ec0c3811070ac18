package attempt

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"certroll/reconcile/failure"
	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/reconcile/times"
	"certroll/spec"
	"certroll/spec/text"
)

// repair handles a secret that another program wrote after certroll. It takes over a pair
// that one of the certificate's issuers signed and that is no worse than certroll's.
// Otherwise it restores certroll's version, and orders only if that version is gone.
func (a *Attempt) repair(ctx context.Context) error {
	at, was := a.Action.At, a.Action.Secret.Live
	data, version, err := a.Secrets.Read(ctx, at.Mount, at.Path)
	if err != nil {
		return err
	}
	p, err := keypair.FindIn(data)
	if err != nil {
		return a.putBack(ctx, version, err)
	}
	issuer, err := a.mayTake(ctx, data, p)
	if err != nil {
		return a.putBack(ctx, version, err)
	}
	// certroll's own pair: only the version number changes.
	if issuer == nil {
		a.drift = fmt.Sprintf("another program wrote version %d of %s; it has certroll's own certificate and key, and stays", version, at)
		same := *ledger.KeepNames(was, a.recordLive())
		same.Version = version
		a.Live = &same
		return a.describe(ctx)
	}
	a.drift = fmt.Sprintf("another program wrote version %d of %s; certroll adopts its certificate: issuer.%s signed serial %s", version, at, issuer.Name, keypair.SerialOf(p.Leaf()))
	return a.take(ctx, p, version, issuer)
}

// putBack writes certroll's version over a foreign one. It orders a new certificate if
// certroll's version is gone, but not before the plan's OrderFrom: a program that keeps
// overwriting the secret must not use up the CA's rate limits.
func (a *Attempt) putBack(ctx context.Context, version int, why error) error {
	at, was := a.Action.At, a.Action.Secret.Live
	a.drift = fmt.Sprintf("another program wrote version %d of %s, and certroll replaced it: %s", version, at, text.FirstLine(failure.Message(why)))
	// max_versions or another program may have removed certroll's version.
	ours, err := a.Secrets.ReadVersion(ctx, at.Mount, at.Path, was.Version)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if from := a.Action.OrderFrom; from.After(a.Clock()) {
			if a.Action.IsUndone(a.Clock()) {
				return &failure.Error{Code: ledger.ClassVault, At: from, Err: fmt.Errorf("repairing %s: version %d, which certroll wrote, is gone: %s", at, was.Version, a.Action.OrderHeld)}
			}
			return &failure.Error{Code: ledger.ClassRateLimited, At: from, Err: fmt.Errorf(
				"repairing %s: version %d, which certroll wrote, is gone, and nothing is ordered before %s (%s): find out what keeps writing there",
				at, was.Version, from.UTC().Format(time.RFC3339), a.Action.OrderHeld)}
		}
		a.Report("repair", "certroll's own version is gone; a new certificate is ordered")
		a.ordersAnew = true
		return nil
	case err != nil:
		return err
	}
	a.Report("repair", fmt.Sprintf("writing version %d of %s back", was.Version, at))
	restored := *ledger.KeepNames(was, a.recordLive())
	if restored.Version, err = a.Secrets.Write(ctx, at.Mount, at.Path, ours, version); err != nil {
		return err
	}
	a.drift += fmt.Sprintf("; version %d is certroll's again", restored.Version)
	a.Live = &restored
	return a.describeRestored(ctx)
}

// mayTake returns the issuer that signed a foreign pair, or the reason why the pair must
// not be taken over. It returns nil and no error if the pair is certroll's own.
func (a *Attempt) mayTake(ctx context.Context, data map[string]string, p keypair.Pair) (*spec.Issuer, error) {
	was := a.Action.Secret.Live
	if err := p.Check(a.Action.Spec.Names(), a.Clock()); err != nil {
		return nil, err
	}
	// A pair that ends earlier would be a step back.
	if p.Ends().Before(was.End()) {
		return nil, fmt.Errorf("it ends %s, before certroll's own %s", p.Ends().Format(time.RFC3339), was.End().UTC().Format(time.RFC3339))
	}
	var issuer *spec.Issuer
	if keypair.SerialOf(p.Leaf()) != was.Serial || keypair.PublicKeyDigest(p.Leaf()) != was.KeyDigest {
		var longest time.Duration
		if issuer, longest = a.signer(p.Leaf()); issuer == nil {
			return nil, fmt.Errorf("serial %s (issuer %q) was signed by none of the certificate's issuers, as far as their certificates came with certroll's own",
				keypair.SerialOf(p.Leaf()), p.Leaf().Issuer)
		}
		if life := p.Leaf().NotAfter.Sub(p.Leaf().NotBefore); life > longest+keypair.MaxSkew {
			return nil, fmt.Errorf("serial %s lives for %s, and no certificate that certroll has of that issuer for more than %s", keypair.SerialOf(p.Leaf()), times.Days(life), times.Days(longest))
		}
	}
	return issuer, a.hasFields(ctx, data, p)
}

// signer returns the first of the certificate's issuers that signed the leaf, and the
// longest lifetime of certroll's certificates by that key. It checks the signature with
// the issuer keys that came with certroll's own certificates from the issuer's directory.
// The authority key identifier (RFC 5280 section 4.2.1.1) proves nothing.
func (a *Attempt) signer(leaf *x509.Certificate) (issuer *spec.Issuer, longest time.Duration) {
	for _, i := range plan.IssuersOf(a.Desired, a.Action.Spec) {
		if i == nil {
			continue
		}
		for key, life := range receivedKeys(a.Known, i.Directory) {
			pub, err := IssuerKey(key)
			if err != nil {
				continue // a damaged record proves nothing
			}
			by := &x509.Certificate{PublicKey: pub}
			if by.CheckSignature(leaf.SignatureAlgorithm, leaf.RawTBSCertificate, leaf.Signature) == nil {
				return i, life
			}
		}
	}
	return nil, 0
}

// receivedKeys returns the issuer keys that came with certroll's certificates from a
// directory, each with the longest lifetime of those certificates.
func receivedKeys(records map[string]*ledger.Record, directory string) map[string]time.Duration {
	keys := map[string]time.Duration{}
	for _, r := range records {
		if l := r.Live; l != nil && l.IssuerKey != "" && !l.Adopted && l.Directory == directory {
			keys[l.IssuerKey] = max(keys[l.IssuerKey], l.NotAfter.Sub(l.NotBefore))
		}
	}
	return keys
}

// hasFields returns an error if data lacks a field of the spec, or if a field belongs to
// another pair. Keystores are encrypted with random salts and differ at each rendering,
// so hasFields only checks that they exist.
func (a *Attempt) hasFields(ctx context.Context, data map[string]string, p keypair.Pair) error {
	material, err := keypair.Material(p)
	if err != nil {
		return err
	}
	material.NextKeyDigest = a.Action.Secret.Live.NextKeyDigest
	render := func() (map[string]string, error) {
		return a.Action.Spec.Vault.Fields.Render(material, func(v spec.Value) (string, error) { return a.resolve(ctx, v) })
	}
	want, err := render()
	if err != nil {
		return err
	}
	again, err := render()
	if err != nil {
		return err
	}
	// A field that differs between two renderings is a keystore: its content cannot be
	// compared.
	for _, name := range slices.Sorted(maps.Keys(want)) {
		got := data[name]
		if got == "" && want[name] != "" {
			return fmt.Errorf("it has no field %q, which vault.fields asks for", name)
		}
		if want[name] == again[name] && !sameContent(want[name], got) {
			return fmt.Errorf("its field %q is not of the same pair", name)
		}
	}
	return nil
}

// sameContent reports whether two texts hold the same certificates and keys, in whatever
// encoding. Texts without any are compared as text, without surrounding space.
func sameContent(a, b string) bool {
	if contentOf(a) == "" {
		return strings.TrimSpace(a) == strings.TrimSpace(b)
	}
	return contentOf(a) == contentOf(b)
}

// contentOf returns the certificates of a text and the digests of its keys' public
// halves, concatenated; "" if there are none.
func contentOf(text string) string {
	var b strings.Builder
	if chain, err := keypair.ParseChain([]byte(text)); err == nil {
		for _, c := range chain {
			b.Write(c.Raw)
		}
	}
	for _, key := range keypair.KeysIn([]byte(text)) {
		if digest, err := keypair.KeyDigest(key.Public()); err == nil {
			b.WriteString(digest)
		}
	}
	return b.String()
}

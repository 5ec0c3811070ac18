package reconcile

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

	"certroll/spec"
)

// repair mends a secret that somebody wrote after certroll: a pair that one of the
// certificate's issuers signed, and that is no worse, is taken over; anything else
// gives way to certroll's version, and only where that is gone a new one is ordered.
func (a *attempt) repair(ctx context.Context) error {
	at, was := a.action.At, a.action.Secret.Live
	data, version, err := a.secrets.Read(ctx, at.Mount, at.Path)
	if err != nil {
		return err
	}
	p, err := findIn(data)
	if err != nil {
		return a.putBack(ctx, version, err)
	}
	issuer, err := a.mayTake(ctx, data, p)
	if err != nil {
		return a.putBack(ctx, version, err)
	}
	if issuer == nil {
		a.drift = fmt.Sprintf("somebody else wrote version %d of %s; it has certroll's own pair, and stays", version, at)
		same := *keepNames(was, a.recordLive())
		same.Version = version
		a.live = &same
		return a.describe(ctx)
	}
	a.drift = fmt.Sprintf("somebody else wrote version %d of %s; its pair is taken over: issuer.%s signed serial %s", version, at, issuer.Name, serialOf(p.leaf()))
	return a.take(ctx, p, version, issuer)
}

// putBack writes certroll's version over one that is not to stay, or orders where
// that version is gone.
func (a *attempt) putBack(ctx context.Context, version int, why error) error {
	at, was := a.action.At, a.action.Secret.Live
	a.drift = fmt.Sprintf("somebody else wrote version %d of %s, which was replaced: %s", version, at, firstLine(message(why)))
	ours, err := a.secrets.ReadVersion(ctx, at.Mount, at.Path, was.Version)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if from := a.action.OrderFrom; from.After(a.now()) {
			if a.action.isUndone(a.now()) {
				return &failure{code: ClassVault, at: from, err: fmt.Errorf("repairing %s: version %d, which certroll wrote, is gone: %s", at, was.Version, a.action.orderHeld)}
			}
			return &failure{code: ClassRateLimited, at: from, err: fmt.Errorf(
				"repairing %s: version %d, which certroll wrote, is gone, and nothing is ordered before %s (%s): find out what keeps writing there",
				at, was.Version, from.UTC().Format(time.RFC3339), a.action.orderHeld)}
		}
		a.report("repair", "certroll's own version is gone; a new certificate is ordered")
		return a.runSteps(ctx, orderSteps)
	case err != nil:
		return err
	}
	a.report("repair", fmt.Sprintf("writing version %d of %s back", was.Version, at))
	restored := *keepNames(was, a.recordLive())
	if restored.Version, err = a.secrets.Write(ctx, at.Mount, at.Path, ours, version); err != nil {
		return err
	}
	a.drift += fmt.Sprintf("; version %d is certroll's again", restored.Version)
	a.live = &restored
	return a.describeRestored(ctx)
}

// mayTake tells why a pair that somebody wrote is not taken over, or which of the
// certificate's issuers signed it; nil and no error where it is certroll's own.
func (a *attempt) mayTake(ctx context.Context, data map[string]string, p pair) (*spec.Issuer, error) {
	was := a.action.Secret.Live
	if err := p.check(a.action.Spec.Names(), a.now()); err != nil {
		return nil, err
	}
	if p.ends().Before(was.End()) {
		return nil, fmt.Errorf("it ends %s, before certroll's own %s", p.ends().Format(time.RFC3339), was.End().UTC().Format(time.RFC3339))
	}
	var issuer *spec.Issuer
	if serialOf(p.leaf()) != was.Serial || publicKeyDigest(p.leaf()) != was.KeyDigest {
		var longest time.Duration
		if issuer, longest = a.signer(p.leaf()); issuer == nil {
			return nil, fmt.Errorf("serial %s (issuer %q) was signed by none of the certificate's issuers, as far as their certificates came with certroll's own",
				serialOf(p.leaf()), p.leaf().Issuer)
		}
		if life := p.leaf().NotAfter.Sub(p.leaf().NotBefore); life > longest+maxSkew {
			return nil, fmt.Errorf("serial %s lives for %s, and no certificate that certroll has of that issuer for more than %s", serialOf(p.leaf()), days(life), days(longest))
		}
	}
	return issuer, a.hasFields(ctx, data, p)
}

// signer is the first of the certificate's issuers that signed a leaf, by the key of
// an issuer certificate that came from its directory with a certificate of certroll's,
// and the longest life of those. The key's identifier in the leaf is a text that
// anybody can write.
func (a *attempt) signer(leaf *x509.Certificate) (issuer *spec.Issuer, longest time.Duration) {
	for _, i := range issuersOf(a.desired, a.action.Spec) {
		if i == nil {
			continue
		}
		for key, life := range receivedKeys(a.known, i.Directory) {
			pub, err := issuerKey(key)
			if err != nil {
				continue // the record was damaged: it vouches for nobody
			}
			by := &x509.Certificate{PublicKey: pub}
			if by.CheckSignature(leaf.SignatureAlgorithm, leaf.RawTBSCertificate, leaf.Signature) == nil {
				return i, life
			}
		}
	}
	return nil, 0
}

// receivedKeys are the keys of the issuer certificates that a directory sent, with
// the longest life of the certificates that they signed.
func receivedKeys(records map[string]*Record, directory string) map[string]time.Duration {
	keys := map[string]time.Duration{}
	for _, r := range records {
		if l := r.Live; l != nil && l.IssuerKey != "" && !l.Adopted && l.Directory == directory {
			keys[l.IssuerKey] = max(keys[l.IssuerKey], l.NotAfter.Sub(l.NotBefore))
		}
	}
	return keys
}

// hasFields tells which field of the spec is missing or is not made of the pair. A
// keystore is another one each time that it is made: of those it counts that they
// are there.
func (a *attempt) hasFields(ctx context.Context, data map[string]string, p pair) error {
	material, err := material(p)
	if err != nil {
		return err
	}
	material.NextKeyDigest = a.action.Secret.Live.NextKeyDigest
	render := func() (map[string]string, error) {
		return a.action.Spec.Vault.Fields.Render(material, func(v spec.Value) (string, error) { return a.resolve(ctx, v) })
	}
	want, err := render()
	if err != nil {
		return err
	}
	again, err := render()
	if err != nil {
		return err
	}
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

// sameContent tells whether two texts say the same: the same certificates and keys
// where there are any, however a key is encoded, else the same words.
func sameContent(a, b string) bool {
	if contentOf(a) == "" {
		return strings.TrimSpace(a) == strings.TrimSpace(b)
	}
	return contentOf(a) == contentOf(b)
}

// contentOf are the certificates of a text, and the public halves of its keys; "" for
// none.
func contentOf(text string) string {
	var b strings.Builder
	if chain, err := parseChain([]byte(text)); err == nil {
		for _, c := range chain {
			b.Write(c.Raw)
		}
	}
	for _, key := range keysIn([]byte(text)) {
		if digest, err := keyDigest(key.Public()); err == nil {
			b.WriteString(digest)
		}
	}
	return b.String()
}

// leftAlone tells that what is there is not certroll's, and stays so: renewal.auto is
// off, by which an owner says "do not touch it", and nobody asked for a rotation.
func (s *situation) leftAlone() bool {
	if s.auto || s.unreadable != "" || s.begun() || s.asksRotation() || s.renames() {
		return false
	}
	l, r := s.live(), s.record
	if l != nil {
		return s.secret.Behind() || !s.secret.Readable
	}
	return r.holds() && s.at == Location{r.Live.Mount, r.Live.Path}
}

// ruleLeftAlone: somebody changed what is there while renewal.auto is off. It is
// noted once for each version.
func ruleLeftAlone(s *situation) (Action, bool) {
	if !s.leftAlone() || s.record != nil && s.record.ForeignVersion != nil && *s.record.ForeignVersion == s.secret.Version {
		return Action{}, false
	}
	return Action{Kind: KindNote, Reason: ReasonLeftAlone, Detail: s.leftText()}, true
}

func (s *situation) leftText() string {
	const stays = ", and renewal.auto is off: certroll writes nothing there until it is on again (certroll enable) or a rotation is asked for"
	switch {
	case s.secret.Version == 0:
		return "there is no secret at " + s.at.String() + " any more" + stays
	case !s.secret.Readable:
		return fmt.Sprintf("version %d of %s was deleted"+stays, s.secret.Version, s.at)
	default:
		return fmt.Sprintf("version %d of %s was not written by certroll"+stays, s.secret.Version, s.at)
	}
}

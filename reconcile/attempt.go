package reconcile

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"path"
	"strings"
	"time"

	"certroll/spec"
)

// attempt is one run of one action. Its steps share one signature; each looks
// at the facts first, so that a step already done by an earlier run is passed.
type attempt struct {
	*applier
	action Action
	draft  *draft
	pair   pair
	live   *Live // what is live after it

	orderURL    string            // the last order that was asked for
	orders      int               // made in this attempt, and given up by it
	passedOver  []PassedOver      // DNS accounts that failed before another worked
	credentials map[string]string // the versions of the DNS accounts' credentials before it
	said        *RenewalInfo      // of what is live after it
	revoked     string            // the serial that was revoked
	unrevoked   *Revocation       // what still has to be
	notRevoked  error             // why
}

type step struct {
	name string
	run  func(*attempt, context.Context) error
}

// The steps of an attempt that asks the CA for a certificate.
var orderSteps = []step{
	{"prepare", (*attempt).prepare},
	{"order", (*attempt).order},
	{"verify", (*attempt).verify},
	{"write", (*attempt).write},
	{"describe", (*attempt).describe},
	{"revoke", (*attempt).revokeReplaced},
	{"ask", (*attempt).askRenewalInfo},
}

// The steps that finish what an earlier run had come to write, as that run
// meant it.
var resumeSteps = []step{
	{"verify", (*attempt).verify},
	{"write", (*attempt).write},
	{"describe", (*attempt).describe},
	{"revoke", (*attempt).revokeReplaced},
	{"ask", (*attempt).askRenewalInfo},
}

func (a *attempt) runSteps(ctx context.Context, steps []step) error {
	for _, s := range steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.run(a, ctx); err != nil {
			return err
		}
	}
	return nil
}

// prepare makes sure of a pending secret with a key before anything is asked
// of the CA: the one an earlier run left where it fits, else a fresh one.
func (a *attempt) prepare(ctx context.Context) error {
	c, issuer := a.action.Spec, a.action.Issuer
	target, err := a.observer.Secret(ctx, targetOf(c))
	if err != nil {
		return err
	}
	if err := a.mayWrite(target); err != nil {
		return err
	}
	shape := shapeOf(c.Key, a.recordedShape())
	old, err := a.drafts.load(ctx, c.Name)
	if err != nil {
		return err
	}
	if old != nil && old.fits(c, issuer, shape, target.Version, a.rotation(), a.revokes()) {
		a.draft = old
		return a.takeUp(ctx)
	}
	d, err := a.newDraft(ctx, shape)
	if err != nil {
		return err
	}
	d.CAS = target.Version
	if old != nil {
		d.stored = old.stored
	}
	a.draft = d
	return a.takeUp(ctx)
}

// mayWrite refuses a target that has moved on since the plan, or that holds
// what certroll did not write.
func (a *attempt) mayWrite(target Secret) error {
	at := targetOf(a.action.Spec)
	if at == a.action.At && target.Version != a.action.Secret.Version {
		return &failure{class: ClassVault, denied: true, err: fmt.Errorf(
			"%s is at version %d, the plan saw version %d: somebody else wrote it meanwhile, nothing was ordered; plan again",
			at, target.Version, a.action.Secret.Version)}
	}
	if target.Version > 0 && target.Readable && target.Owner != a.action.Certificate {
		return &failure{class: ClassConfig, denied: true, err: fmt.Errorf(
			"%s holds a secret that certroll did not write for certificate %q; it is not overwritten: choose another vault.path, or move that secret away",
			at, a.action.Certificate)}
	}
	return nil
}

// rotation is the last rotation request: one that the spec asks for no more
// was seen all the same, and forces nothing where it comes back.
func (a *attempt) rotation() string {
	if l := a.action.Secret.Live; l != nil && a.action.Secret.Owner == a.action.Certificate {
		return firstOf(a.action.Spec.Rotate, l.Rotate)
	}
	return a.action.Spec.Rotate
}

func (a *attempt) recordedShape() string {
	if l := a.action.Secret.Live; l != nil && a.action.Secret.Owner == a.action.Certificate {
		return l.KeyShape
	}
	if r := a.action.Record; r != nil && r.Live != nil {
		return r.Live.KeyShape
	}
	return ""
}

func (a *attempt) newDraft(ctx context.Context, shape string) (*draft, error) {
	c, issuer := a.action.Spec, a.action.Issuer
	d := &draft{
		Operation: a.action.Kind, Reason: a.action.Reason, Detail: a.action.Detail,
		Revision: a.revision.Commit, Rotate: a.rotation(), Names: c.Names(),
		Issuer: issuer.Name, Directory: issuer.Directory, Profile: issuer.Profile,
		At: targetOf(c), KeyShape: shape, Started: a.now().UTC(),
	}
	d.Actor, d.Cause = a.actor(a.action.Reason)
	if l := a.action.Secret.Live; l != nil {
		d.OldSerial = l.Serial
	}
	d.Revokes = a.revokes()
	var err error
	if c.Key.Rotation == spec.RotateNever && a.action.Kind != KindRotate && !a.keyIsTooOld() {
		d.Key, d.KeySince, err = a.keptKey(ctx, shape)
	}
	if d.Key == nil && err == nil {
		a.report("key", "making a fresh "+shape+" key")
		d.Key, err = newKey(shape)
	}
	if err != nil {
		return nil, err
	}
	d.KeyDigest, err = keyDigest(d.Key.Public())
	return d, err
}

// keyIsTooOld tells whether key.max_age is reached: the renewal that comes
// first makes the fresh key, and saves the order of a rotation after it.
func (a *attempt) keyIsTooOld() bool {
	l, age := a.action.Secret.Live, a.action.Spec.Key.MaxAge
	return l != nil && age > 0 && !a.now().Before(l.KeySince.Add(age))
}

// keptKey is the live key for key.rotation = "never"; nil where there is none
// of that shape yet.
func (a *attempt) keptKey(ctx context.Context, shape string) (crypto.Signer, time.Time, error) {
	l := a.action.Secret.Live
	if l == nil || l.KeyShape != shape || !a.action.Secret.Readable || a.changesHands(l) {
		return nil, time.Time{}, nil
	}
	data, _, err := a.secrets.Read(ctx, a.action.At.Mount, a.action.At.Path)
	if err != nil {
		return nil, time.Time{}, err
	}
	p, err := findPair(data)
	if err != nil {
		return nil, time.Time{}, &failure{class: ClassConfig, err: fmt.Errorf(
			"key.rotation is \"never\", but the key cannot be read back from %s: %w; add a PEM field to vault.fields or let the key rotate", a.action.At, err)}
	}
	return p.key, l.KeySince, nil
}

// unfinished takes up the draft of an earlier run that seems to have written
// its pair. A draft without a chain cannot have: then the version that follows
// the one it saw is somebody else's.
func (a *attempt) unfinished(ctx context.Context) error {
	d, err := a.drafts.load(ctx, a.action.Certificate)
	if err != nil {
		return err
	}
	if phaseOf(d) >= phaseChained {
		a.draft = d
		return a.runSteps(ctx, resumeSteps)
	}
	if err := a.drafts.drop(ctx, a.action.Certificate); err != nil {
		return err
	}
	if a.action.Secret.Owner == a.action.Certificate {
		return a.repair(ctx)
	}
	return a.adopt(ctx)
}

// order brings the draft to a chain: it creates the order where there is none,
// and goes on with the one there is. An order of an earlier run that the CA no
// longer takes is replaced once; one made in this attempt is not.
func (a *attempt) order(ctx context.Context) error {
	if phaseOf(a.draft) >= phaseChained {
		return nil
	}
	inherited := phaseOf(a.draft) == phaseOrdered
	err := a.orderPatiently(ctx)
	if err == nil || !isOrderGone(err) || isInterrupt(ctx, err) {
		return err
	}
	a.draft.OrderURL = ""
	if storeErr := a.drafts.store(ctx, a.action.Certificate, a.draft); storeErr != nil {
		return errors.Join(err, storeErr)
	}
	if !inherited {
		return err
	}
	a.report("order", "the CA no longer takes the earlier run's order; a new one is made with the same key")
	a.orders++ // nobody may have told of that one
	return a.orderPatiently(ctx)
}

// orderPatiently tries again within the attempt where the CA is away, which
// may pass within minutes. It never outlasts a word of the CA itself.
func (a *attempt) orderPatiently(ctx context.Context) error {
	for _, wait := range a.opts.Patience {
		err := a.orderOnce(ctx)
		if err == nil || classOf(err) != ClassCAUnavailable || isInterrupt(ctx, err) || isOrderGone(err) {
			return err
		}
		if at := retryAt(err); at.After(a.now().Add(wait)) {
			return err
		}
		a.report("order", "the CA is unavailable, trying again in "+wait.String()+": "+firstLine(message(err)))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
	return a.orderOnce(ctx)
}

func (a *attempt) orderOnce(ctx context.Context) error {
	d, issuer := a.draft, a.action.Issuer
	if d.OrderURL == "" {
		if err := a.newOrder(ctx); err != nil {
			return err
		}
	} else {
		a.report("order", "going on with the order "+d.OrderURL)
	}
	a.orderURL = d.OrderURL
	csr, err := newCSR(d.Key, d.Names)
	if err != nil {
		return err
	}
	chain, account, passed, err := a.ca.Finish(ctx, issuer, d.OrderURL, csr, a.accounts(), a.report)
	for _, p := range passed {
		a.passedOver = append(a.passedOver, PassedOver{Account: accountOf(p), Class: classOf(p), Message: message(p)})
	}
	if err != nil {
		return err
	}
	d.Chain, d.Account = string(chain), account
	return nil
}

// newOrder makes an order and keeps its URL before anything else is done.
func (a *attempt) newOrder(ctx context.Context) error {
	d, issuer := a.draft, a.action.Issuer
	a.report("order", "ordering "+strings.Join(d.Names, " ")+" from "+issuer.Name)
	url, replaced, err := a.ca.Order(ctx, issuer, d.Names, a.action.Replaces)
	if err != nil {
		return err
	}
	a.orders++
	d.OrderURL, d.Exempt = url, a.action.Exempt
	if d.Exempt == ExemptARI && !replaced {
		d.Exempt = ExemptRenewal
	}
	return a.drafts.store(context.WithoutCancel(ctx), a.action.Certificate, d)
}

// newCSR makes a PKCS #10 request with the names as subject alternative names
// and no subject, which is all that an ACME CA looks at.
func newCSR(key crypto.Signer, names []string) ([]byte, error) {
	req := &x509.CertificateRequest{}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			req.IPAddresses = append(req.IPAddresses, ip)
		} else {
			req.DNSNames = append(req.DNSNames, n)
		}
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, req, key)
	if err != nil {
		return nil, fmt.Errorf("making a certificate request: %w", err)
	}
	return der, nil
}

// verify looks at what came before any of it is written.
func (a *attempt) verify(ctx context.Context) error {
	chain, err := parseChain([]byte(a.draft.Chain))
	if err == nil {
		a.pair = pair{chain: chain, key: a.draft.Key}
		err = a.pair.check(a.draft.Names, a.now())
	}
	if err != nil {
		// The order is spent: with its pending secret kept, every later attempt
		// would be handed the same certificate.
		if dropErr := a.drafts.drop(ctx, a.action.Certificate); dropErr != nil {
			err = errors.Join(err, dropErr)
		}
		return &failure{class: ClassCARejected, err: fmt.Errorf(
			"checking the certificate that %s sent for %s: %w; it was not written, what is live stays", a.draft.Issuer, a.action.Certificate, err)}
	}
	return nil
}

// write puts the pair where its readers look, following the version that was
// seen. A run that died right after the write finds its own fields there.
func (a *attempt) write(ctx context.Context) error {
	// From here on stopping half way would only leave more to mend.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	d := a.draft
	seen, err := a.observer.Secret(ctx, d.At)
	if err != nil {
		return err
	}
	version := seen.Version
	if seen.Version == d.CAS {
		a.report("write", "writing "+d.At.String())
		if version, err = a.writeFields(ctx); err != nil {
			return err
		}
	} else if err := a.knowAgain(ctx); err != nil {
		return err
	}
	a.live = a.liveOf(d, version)
	return nil
}

func (a *attempt) writeFields(ctx context.Context) (int, error) {
	material, err := materialOf(a.pair)
	if err != nil {
		return 0, err
	}
	data, err := a.action.Spec.Vault.Fields.Render(material, func(v spec.Value) (string, error) { return a.resolve(ctx, v) })
	if err != nil {
		return 0, &failure{class: ClassConfig, err: err}
	}
	a.draft.DataDigest = dataDigest(data)
	if err := a.drafts.store(ctx, a.action.Certificate, a.draft); err != nil {
		return 0, err
	}
	return a.secrets.Write(ctx, a.draft.At.Mount, a.draft.At.Path, data, a.draft.CAS)
}

// knowAgain tells whether the version that is there is the one this draft was
// about to write.
func (a *attempt) knowAgain(ctx context.Context) error {
	d := a.draft
	data, version, err := a.secrets.Read(ctx, d.At.Mount, d.At.Path)
	if err != nil {
		return err
	}
	if version == d.CAS+1 && dataDigest(data) == d.DataDigest {
		return nil
	}
	// Without its draft the next plan judges what is there for itself.
	if err := a.drafts.drop(ctx, a.action.Certificate); err != nil {
		return err
	}
	return &failure{class: ClassVault, denied: true, err: fmt.Errorf(
		"%s went from version %d to %d while this certificate was made, and not by this attempt; it was not overwritten; the next plan says what to do about it",
		d.At, d.CAS, version)}
}

// changesHands tells that the certificate goes to another place in Vault by the
// word of another directory of the config repo than the one that had its key made.
// Whoever declares a name that was another team's does not get its key.
func (a *attempt) changesHands(l *Live) bool {
	c := a.action.Spec
	return targetOf(c) != a.action.At && path.Dir(l.File) != path.Dir(c.File)
}

func (a *attempt) liveOf(d *draft, version int) *Live {
	leaf := a.pair.leaf()
	l := &Live{
		Serial: serialOf(leaf), NotBefore: leaf.NotBefore.UTC(), NotAfter: leaf.NotAfter.UTC(),
		Names: d.Names, NamesDigest: namesDigest(d.Names),
		KeyDigest: d.KeyDigest, KeyShape: d.KeyShape, KeySince: d.KeySince,
		Issuer: d.Issuer, Directory: d.Directory, Profile: d.Profile,
		Mount: d.At.Mount, Path: d.At.Path, Version: version,
		Revision: d.Revision, File: a.action.Spec.File, Rotate: d.Rotate, IssuedAt: d.Started.Truncate(time.Second),
		ARI: ariID(leaf), DNSAccount: d.Account,
	}
	if l.KeySince.IsZero() {
		l.KeySince = l.IssuedAt
	}
	if old := a.action.Secret.Live; old != nil && old.KeyDigest == l.KeyDigest {
		l.File = old.File // by whose word the key was made, see changesHands
	}
	return l
}

// describe writes the custom metadata, by which plans know the pair.
func (a *attempt) describe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	loc := Location{a.live.Mount, a.live.Path}
	seen, err := a.observer.Secret(ctx, loc)
	if err != nil {
		return err
	}
	if seen.Owner == a.action.Certificate && seen.Live.Serial == a.live.Serial && !seen.Behind() {
		return nil
	}
	return a.secrets.WriteMetadata(ctx, loc.Mount, loc.Path, encodeMeta(seen.Custom, a.action.Certificate, a.live))
}

// materialOf splits a chain into what fields are made of.
func materialOf(p pair) (spec.Material, error) {
	key, err := encodeKey(p.key)
	if err != nil {
		return spec.Material{}, err
	}
	var rest strings.Builder
	for _, cert := range p.chain[1:] {
		rest.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}))
	}
	leaf := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.leaf().Raw}))
	return spec.Material{Certificate: leaf, Chain: rest.String(), FullChain: leaf + rest.String(), PrivateKey: key}, nil
}

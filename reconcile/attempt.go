package reconcile

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"certroll/spec"
	"certroll/spec/credential"
)

// attempt is one run of one action. Its steps share one signature; each looks
// at the facts first, so that a step already done by an earlier run is passed.
type attempt struct {
	*applier
	action Action
	began  time.Time
	draft  *draft
	pair   pair
	live   *Live // what is live after it

	orderURL    string            // the last order that was asked for
	orders      int               // made in this attempt, and given up by it
	passedOver  []PassedOver      // DNS accounts that failed before another worked
	records     records           // the names that TXT records went to
	chainNote   string            // why the chain is not the one that was wanted
	published   records           // the DNS accounts that answered for a name
	credentials map[string]string // the versions of the DNS accounts' credentials before it
	said        *RenewalInfo      // of what is live after it
	revoked     string            // the serial that was revoked
	settled     string            // the serial that waits for it no more
	drift       string            // what became of a version that somebody else wrote
	refusedCert bool              // the CA issued a certificate that was not written
	unrevoked   *Revocation       // what still has to be
	notRevoked  error             // why
	unkept      error             // why what is to be revoked is not kept
	forgets     string            // the serial that was kept and is no more needed
	unread      error             // why the staged key is not used
	unstaged    error             // why the next one is not staged
	unswept     []string          // TXT records of earlier runs that could not be removed
	swept       bool              // those of orders that were given up
	left        []LeftBehind      // where tidied: what stays of secrets that were moved away from
	tidied      bool              // those were looked at
	deleted     []string          // of them
	untidied    []string          // why some could not be
}

type step struct {
	name string
	run  func(*attempt, context.Context) error
}

// The steps of an attempt that asks the CA for a certificate.
var orderSteps = []step{
	{"account", (*attempt).checkAccount},
	{"prepare", (*attempt).prepare},
	{"order", (*attempt).order},
	{"verify", (*attempt).verify},
	{"keep", (*attempt).keepReplaced},
	{"write", (*attempt).write},
	{"stage", (*attempt).stageDrafted},
	{"describe", (*attempt).describe},
	{"previous", (*attempt).tidyPrevious},
	{"revoke", (*attempt).revokeReplaced},
	{"ask", (*attempt).askRenewalInfo},
	{"sweep", (*attempt).sweepInherited},
}

// The steps that finish what an earlier run had come to write, as that run
// meant it.
var resumeSteps = []step{
	{"verify", (*attempt).verify},
	{"keep", (*attempt).keepReplaced},
	{"write", (*attempt).write},
	{"stage", (*attempt).stageDrafted},
	{"describe", (*attempt).describe},
	{"previous", (*attempt).tidyPrevious},
	{"revoke", (*attempt).revokeReplaced},
	{"ask", (*attempt).askRenewalInfo},
	{"sweep", (*attempt).sweepInherited},
}

func (a *attempt) runSteps(ctx context.Context, steps []step) error {
	for _, s := range steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		a.crew.stepped(a.action.Certificate, s.name, "")
		if err := s.run(a, ctx); err != nil {
			return err
		}
	}
	return nil
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
	if err := a.discard(ctx); err != nil {
		return err
	}
	if !renewsAt(a.action.Spec, a.now()) {
		a.live = a.knownLive() // what somebody wrote is left alone, as the next plan notes
		return nil
	}
	if a.action.Secret.Owner == a.action.Certificate {
		return a.repair(ctx)
	}
	return a.adopt(ctx)
}

// verify looks at what came before any of it is written.
func (a *attempt) verify(ctx context.Context) error {
	p, err := sentPair([]byte(a.draft.Chain), a.draft.Key, a.now())
	if err == nil {
		err = p.check(a.draft.Names, a.now())
	}
	if err == nil {
		err = a.chainLasts(p)
	}
	if err != nil {
		return a.unfit(ctx, err)
	}
	a.pair = p
	return nil
}

// write puts the pair where its readers look, following the version that was
// seen. A run that died right after the write finds its own fields there.
func (a *attempt) write(attempt context.Context) error {
	// From here on stopping half way would only leave more to mend.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(attempt), writeTimeout)
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
	} else if found, known, err := a.knowAgain(ctx); err != nil {
		return err
	} else if !known {
		return a.overtaken(attempt, found)
	}
	a.live = a.liveOf(d, version)
	return nil
}

func (a *attempt) writeFields(ctx context.Context) (int, error) {
	material, err := material(a.pair)
	if err != nil {
		return 0, err
	}
	if n := a.draft.Next; n != nil {
		material.NextKeyDigest = n.digest
	}
	data, err := a.action.Spec.Vault.Fields.Render(material, func(v spec.Value) (string, error) { return a.password(ctx, v) })
	if errors.Is(err, spec.ErrFields) {
		return 0, a.burn(ctx, err)
	}
	if err != nil {
		return 0, &failure{code: ClassConfig, err: err}
	}
	a.draft.DataDigest = dataDigest(data)
	if err := a.drafts.store(ctx, a.action.Certificate, a.draft); err != nil {
		return 0, err
	}
	return a.secrets.Write(ctx, a.draft.At.Mount, a.draft.At.Path, data, a.draft.CAS)
}

// password resolves the password of a keystore. For a new secret one that ends
// in a line break is refused, as the mistake that it is. Where a secret is live
// its consumers may open the keystore with just that text, and go on doing so.
func (a *attempt) password(ctx context.Context, v spec.Value) (string, error) {
	text, err := a.resolve(ctx, v)
	if err != nil || v.Source == spec.Literal || a.draft.CAS > 0 {
		return text, err
	}
	return text, credential.Check(v.Where(), text, credential.Token)
}

// burn destroys the draft of fields that cannot be made. Whoever writes the
// fields could otherwise ask the same key one question with each commit; the
// next attempt has another key, and a changed spec does not end its wait.
func (a *attempt) burn(ctx context.Context, err error) error {
	if dropErr := a.discard(ctx); dropErr != nil {
		err = errors.Join(err, dropErr)
	}
	return &failure{code: ClassConfig, stands: true, err: fmt.Errorf(
		"%w; the key was destroyed and nothing was written, what is live stays; mend vault.fields, and run certroll retry %s to try at once", err, a.action.Certificate)}
}

// knowAgain tells which version is there, and whether it is the one that this draft
// was about to write.
func (a *attempt) knowAgain(ctx context.Context) (version int, known bool, err error) {
	d := a.draft
	data, version, err := a.secrets.Read(ctx, d.At.Mount, d.At.Path)
	return version, err == nil && version == d.CAS+1 && dataDigest(data) == d.DataDigest, err
}

// overtaken gives the draft up, as somebody else has written meanwhile. Without it
// the next plan judges what is there for itself.
func (a *attempt) overtaken(ctx context.Context, version int) error {
	d := a.draft
	if err := a.discard(ctx); err != nil {
		return err
	}
	return &failure{code: ClassVault, denied: true, err: fmt.Errorf(
		"%s went from version %d to %d while this certificate was made, and not by this attempt; it was not overwritten; the next plan says what to do about it",
		d.At, d.CAS, version)}
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
	l.setChain(a.pair.chain, a.ownLive())
	l.ChainNote = a.chainNote
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
	if seen.Owner == a.action.Certificate && seen.Live.Serial == a.live.Serial && !seen.Behind() && seen.Live.sameNext(a.live) {
		return nil
	}
	return a.secrets.WriteMetadata(ctx, loc.Mount, loc.Path, encodeMeta(seen.Custom, a.action.Certificate, a.live))
}

// material splits a chain into what fields are made of.
func material(p pair) (spec.Material, error) {
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

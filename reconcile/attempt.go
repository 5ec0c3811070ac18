package reconcile

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
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
	settled     string            // the serial that waits for it no more
	unrevoked   *Revocation       // what still has to be
	notRevoked  error             // why
	unread      error             // why the staged key is not used
	unstaged    error             // why the next one is not staged
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
	{"stage", (*attempt).stageDrafted},
	{"describe", (*attempt).describe},
	{"revoke", (*attempt).revokeReplaced},
	{"ask", (*attempt).askRenewalInfo},
}

// The steps that finish what an earlier run had come to write, as that run
// meant it.
var resumeSteps = []step{
	{"verify", (*attempt).verify},
	{"write", (*attempt).write},
	{"stage", (*attempt).stageDrafted},
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
	if n := a.draft.Next; n != nil {
		material.NextKeyDigest = n.digest
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
	if seen.Owner == a.action.Certificate && seen.Live.Serial == a.live.Serial && !seen.Behind() && seen.Live.sameNext(a.live) {
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

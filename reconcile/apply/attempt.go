package apply

import (
	"context"
	"errors"
	"fmt"
	"time"

	"certroll/reconcile/failure"
	"certroll/reconcile/keypair"
	"certroll/reconcile/lease"
	"certroll/reconcile/ledger"
	"certroll/reconcile/observe"
	"certroll/reconcile/plan"
	"certroll/spec"
	"certroll/spec/credential"
)

// Attempt is one run of one action. Its steps share one signature; each looks
// at the facts first, so that a step already done by an earlier run is passed.
type Attempt struct {
	*Applier
	Action plan.Action
	began  time.Time
	Draft  *Draft
	pair   keypair.Pair
	Live   *ledger.Live // what is live after it

	orderURL    string              // the last order that was asked for
	orders      int                 // made in this attempt, and given up by it
	passedOver  []ledger.PassedOver // DNS accounts that failed before another worked
	records     records             // the names that TXT records went to
	chainNote   string              // why the chain is not the one that was wanted
	published   records             // the DNS accounts that answered for a name
	credentials map[string]string   // the versions of the DNS accounts' credentials before it
	said        *ledger.RenewalInfo // of what is live after it
	revoked     string              // the serial that was revoked
	settled     string              // the serial that waits for it no more
	drift       string              // what became of a version that somebody else wrote
	refusedCert bool                // the CA issued a certificate that was not written
	unrevoked   *ledger.Revocation  // what still has to be
	notRevoked  error               // why
	unkept      error               // why what is to be revoked is not kept
	forgets     string              // the serial that was kept and is no more needed
	unread      error               // why the staged key is not used
	unstaged    error               // why the next one is not staged
	unswept     []string            // TXT records of earlier runs that could not be removed
	swept       bool                // those of orders that were given up
	left        []ledger.LeftBehind // where tidied: what stays of secrets that were moved away from
	tidied      bool                // those were looked at
	deleted     []string            // of them
	untidied    []string            // why some could not be
}

type step struct {
	name string
	run  func(*Attempt, context.Context) error
}

// The steps of an attempt that asks the CA for a certificate.
var orderSteps = []step{
	{"account", (*Attempt).checkAccount},
	{"prepare", (*Attempt).prepare},
	{"order", (*Attempt).order},
	{"verify", (*Attempt).verify},
	{"keep", (*Attempt).keepReplaced},
	{"write", (*Attempt).write},
	{"stage", (*Attempt).stageDrafted},
	{"describe", (*Attempt).describe},
	{"previous", (*Attempt).tidyPrevious},
	{"revoke", (*Attempt).revokeReplaced},
	{"ask", (*Attempt).askRenewalInfo},
	{"sweep", (*Attempt).sweepInherited},
}

// The steps that finish what an earlier run had come to write, as that run
// meant it.
var resumeSteps = []step{
	{"verify", (*Attempt).verify},
	{"keep", (*Attempt).keepReplaced},
	{"write", (*Attempt).write},
	{"stage", (*Attempt).stageDrafted},
	{"describe", (*Attempt).describe},
	{"previous", (*Attempt).tidyPrevious},
	{"revoke", (*Attempt).revokeReplaced},
	{"ask", (*Attempt).askRenewalInfo},
	{"sweep", (*Attempt).sweepInherited},
}

func (a *Attempt) runSteps(ctx context.Context, steps []step) error {
	for _, s := range steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		a.colleagues.stepped(a.Action.Certificate, s.name, "")
		if err := s.run(a, ctx); err != nil {
			return err
		}
	}
	return nil
}

// unfinished takes up the draft of an earlier run that seems to have written
// its pair. A draft without a chain cannot have: then the version that follows
// the one it saw is somebody else's.
func (a *Attempt) unfinished(ctx context.Context) error {
	d, err := a.Drafts.Load(ctx, a.Action.Certificate)
	if err != nil {
		return err
	}
	if phaseOf(d) >= phaseChained {
		a.Draft = d
		return a.runSteps(ctx, resumeSteps)
	}
	if err := a.discard(ctx); err != nil {
		return err
	}
	if !plan.RenewsAt(a.Action.Spec, a.now()) {
		a.Live = a.knownLive() // what somebody wrote is left alone, as the next plan notes
		return nil
	}
	if a.Action.Secret.Owner == a.Action.Certificate {
		return a.repair(ctx)
	}
	return a.adopt(ctx)
}

// verify looks at what came before any of it is written.
func (a *Attempt) verify(ctx context.Context) error {
	p, err := sentPair([]byte(a.Draft.Chain), a.Draft.Key, a.now())
	if err == nil {
		err = p.Check(a.Draft.Names, a.now())
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
func (a *Attempt) write(attempt context.Context) error {
	// From here on stopping half way would only leave more to mend.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(attempt), lease.WriteTimeout)
	defer cancel()
	d := a.Draft
	seen, err := a.Observer.Secret(ctx, d.At)
	if err != nil {
		return err
	}
	version := seen.Version
	if seen.Version == d.CAS {
		a.Report("write", "writing "+d.At.String())
		if version, err = a.writeFields(ctx); err != nil {
			return err
		}
	} else if found, known, err := a.knowAgain(ctx); err != nil {
		return err
	} else if !known {
		return a.overtaken(attempt, found)
	}
	a.Live = a.liveOf(d, version)
	return nil
}

func (a *Attempt) writeFields(ctx context.Context) (int, error) {
	material, err := keypair.Material(a.pair)
	if err != nil {
		return 0, err
	}
	if n := a.Draft.Next; n != nil {
		material.NextKeyDigest = n.Digest
	}
	data, err := a.Action.Spec.Vault.Fields.Render(material, func(v spec.Value) (string, error) { return a.password(ctx, v) })
	if errors.Is(err, spec.ErrFields) {
		return 0, a.burn(ctx, err)
	}
	if err != nil {
		return 0, &failure.Error{Code: ledger.ClassConfig, Err: err}
	}
	a.Draft.DataDigest = dataDigest(data)
	if err := a.Drafts.store(ctx, a.Action.Certificate, a.Draft); err != nil {
		return 0, err
	}
	return a.Secrets.Write(ctx, a.Draft.At.Mount, a.Draft.At.Path, data, a.Draft.CAS)
}

// password resolves the password of a keystore. For a new secret one that ends
// in a line break is refused, as the mistake that it is. Where a secret is live
// its consumers may open the keystore with just that text, and go on doing so.
func (a *Attempt) password(ctx context.Context, v spec.Value) (string, error) {
	text, err := a.resolve(ctx, v)
	if err != nil || v.Source == spec.Literal || a.Draft.CAS > 0 {
		return text, err
	}
	return text, credential.Check(v.Where(), text, credential.Token)
}

// burn destroys the draft of fields that cannot be made. Whoever writes the
// fields could otherwise ask the same key one question with each commit; the
// next attempt has another key, and a changed spec does not end its wait.
func (a *Attempt) burn(ctx context.Context, err error) error {
	if dropErr := a.discard(ctx); dropErr != nil {
		err = errors.Join(err, dropErr)
	}
	return &failure.Error{Code: ledger.ClassConfig, Stands: true, Err: fmt.Errorf(
		"%w; the key was destroyed and nothing was written, what is live stays; mend vault.fields, and run certroll retry %s to try at once", err, a.Action.Certificate)}
}

// knowAgain tells which version is there, and whether it is the one that this draft
// was about to write.
func (a *Attempt) knowAgain(ctx context.Context) (version int, known bool, err error) {
	d := a.Draft
	data, version, err := a.Secrets.Read(ctx, d.At.Mount, d.At.Path)
	return version, err == nil && version == d.CAS+1 && dataDigest(data) == d.DataDigest, err
}

// overtaken gives the draft up, as somebody else has written meanwhile. Without it
// the next plan judges what is there for itself.
func (a *Attempt) overtaken(ctx context.Context, version int) error {
	d := a.Draft
	if err := a.discard(ctx); err != nil {
		return err
	}
	return &failure.Error{Code: ledger.ClassVault, Denied: true, Err: fmt.Errorf(
		"%s went from version %d to %d while this certificate was made, and not by this attempt; it was not overwritten; the next plan says what to do about it",
		d.At, d.CAS, version)}
}

func (a *Attempt) liveOf(d *Draft, version int) *ledger.Live {
	leaf := a.pair.Leaf()
	l := &ledger.Live{
		Serial: keypair.SerialOf(leaf), NotBefore: leaf.NotBefore.UTC(), NotAfter: leaf.NotAfter.UTC(),
		Names: d.Names, NamesDigest: keypair.NamesDigest(d.Names),
		KeyDigest: d.KeyDigest, KeyShape: d.KeyShape, KeySince: d.KeySince,
		Issuer: d.Issuer, Directory: d.Directory, Profile: d.Profile,
		Mount: d.At.Mount, Path: d.At.Path, Version: version,
		Revision: d.Revision, File: a.Action.Spec.File, Rotate: d.Rotate, IssuedAt: d.Started.Truncate(time.Second),
		ARI: plan.AriID(leaf), DNSAccount: d.Account,
	}
	if l.KeySince.IsZero() {
		l.KeySince = l.IssuedAt
	}
	l.SetChain(a.pair.Chain, a.ownLive())
	l.ChainNote = a.chainNote
	if old := a.Action.Secret.Live; old != nil && old.KeyDigest == l.KeyDigest {
		l.File = old.File // by whose word the key was made, see changesHands
	}
	return l
}

// describe writes the custom metadata, by which plans know the pair.
func (a *Attempt) describe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lease.WriteTimeout)
	defer cancel()
	loc := ledger.Location{Mount: a.Live.Mount, Path: a.Live.Path}
	seen, err := a.Observer.Secret(ctx, loc)
	if err != nil {
		return err
	}
	if seen.Owner == a.Action.Certificate && seen.Live.Serial == a.Live.Serial && !seen.Behind() && seen.Live.SameNext(a.Live) {
		return nil
	}
	return a.Secrets.WriteMetadata(ctx, loc.Mount, loc.Path, observe.EncodeMeta(seen.Custom, a.Action.Certificate, a.Live))
}

package reconcile

import (
	"context"
	"crypto"
	"fmt"
	"path"
	"time"

	"certroll/spec"
)

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
	if p := a.action.pending; old != nil && p != nil && p.Stray {
		old.described = false // nor would its metadata be written again
	}
	next, err := a.nextFor(ctx, shape)
	if err != nil {
		return err
	}
	if old != nil && old.fits(c, issuer, shape, target.Version, a.rotation(), a.revokes()) && !supersedes(next, old) && !a.isCompromised(old) {
		a.draft = old
		old.Issuer = issuer.Name                                                     // of the same directory, and maybe renamed since
		old.OrderURL = firstOf(old.OrderURL, a.absence.order(c.Name, old.KeyDigest)) // takeUp stores it
		if err := a.makeNext(old); err != nil {
			return err
		}
		return a.takeUp(ctx)
	}
	d, err := a.newDraft(ctx, shape, next)
	if err != nil {
		return err
	}
	d.CAS = target.Version
	if old != nil {
		d.stored = old.stored
		d.Answers, d.inherited = old.Answers, old.inherited
	}
	a.draft = d
	return a.takeUp(ctx)
}

// mayWrite refuses a target that has moved on since the plan, or that holds
// what certroll did not write.
func (a *attempt) mayWrite(target Secret) error {
	at := targetOf(a.action.Spec)
	if at == a.action.At && target.Version != a.action.Secret.Version {
		return &failure{code: ClassVault, denied: true, err: fmt.Errorf(
			"%s is at version %d, the plan saw version %d: another program wrote it meanwhile, and certroll ordered nothing; plan again",
			at, target.Version, a.action.Secret.Version)}
	}
	if target.Version > 0 && target.Readable && target.Owner != a.action.Certificate {
		return &failure{code: ClassConfig, denied: true, err: fmt.Errorf(
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

func (a *attempt) newDraft(ctx context.Context, shape string, next *stagedKey) (*draft, error) {
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
	if next != nil {
		d.Key = next.key
	}
	if c.Key.Rotation == spec.RotateNever && a.action.Kind != KindRotate && !a.keyIsTooOld() && !a.compromised() {
		d.Key, d.KeySince, err = a.keptKey(ctx, shape)
	}
	if d.Key == nil && err == nil {
		a.report("key", "making a fresh "+shape+" key")
		d.Key, err = newKey(shape)
	}
	if err != nil {
		return nil, err
	}
	if d.KeyDigest, err = keyDigest(d.Key.Public()); err != nil {
		return nil, err
	}
	d.Detail += a.keyWords(next)
	return d, a.makeNext(d)
}

// keyIsTooOld tells whether key.max_age is reached: the renewal that comes
// first makes the fresh key, and saves the order of a rotation after it.
func (a *attempt) keyIsTooOld() bool {
	l, age := a.action.Secret.Live, a.action.Spec.Key.MaxAge
	return l != nil && age > 0 && !a.now().Before(l.KeySince.Add(age))
}

// keptKey is the live key for key.rotation = "never"; nil where there is none
// of that shape yet, or where somebody overwrote it.
func (a *attempt) keptKey(ctx context.Context, shape string) (crypto.Signer, time.Time, error) {
	l := a.action.Secret.Live
	if l == nil || l.KeyShape != shape || !a.action.Secret.Readable || a.action.Secret.Behind() || a.changesHands(l) {
		return nil, time.Time{}, nil
	}
	data, _, err := a.secrets.Read(ctx, a.action.At.Mount, a.action.At.Path)
	if err != nil {
		return nil, time.Time{}, err
	}
	p, err := findIn(data)
	if err != nil {
		return nil, time.Time{}, &failure{code: ClassConfig, err: fmt.Errorf(
			"key.rotation is \"never\", but the key cannot be read back from %s: %w; add a PEM field to vault.fields or let the key rotate", a.action.At, err)}
	}
	return p.key, l.KeySince, nil
}

// changesHands tells that the certificate goes to another place in Vault by the
// word of another directory of the config repo than the one that had its key
// made.
// Whoever declares a name that was another team's does not get its key.
func (a *attempt) changesHands(l *Live) bool {
	c := a.action.Spec
	return targetOf(c) != a.action.At && path.Dir(l.File) != path.Dir(c.File)
}

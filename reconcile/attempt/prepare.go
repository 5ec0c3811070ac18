package attempt

import (
	"context"
	"crypto"
	"fmt"
	"path"
	"time"

	"certroll/reconcile/failure"
	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/pending"
	"certroll/reconcile/plan"
	"certroll/spec"
	"certroll/spec/text"
)

// prepare provides a pending secret with a key before the first request to the CA: an
// earlier run's pending secret if it still fits, otherwise a fresh one. A crash after the
// order can then neither lose the key nor repeat the order.
func (a *Attempt) prepare(ctx context.Context) error {
	c, issuer := a.Action.Spec, a.Action.Issuer
	target, err := a.Observer.Secret(ctx, plan.TargetOf(c))
	if err != nil {
		return err
	}
	// Checked before the order: a certificate that cannot be written must not cost one.
	if err := a.mayWrite(target); err != nil {
		return err
	}
	shape := keypair.ShapeOf(c.Key, a.recordedShape())
	old, err := a.PendingSecrets.Load(ctx, c.Name)
	if err != nil {
		return err
	}
	if p := a.Action.Pending; old != nil && p != nil && p.Stray {
		old.Described = false // the metadata of a stray one would be skipped too
	}
	// A staged key decides about an old pending secret too: it must have that key.
	next, err := a.nextFor(ctx, shape)
	if err != nil {
		return err
	}
	if old != nil && old.Fits(c, issuer, shape, target.Version, a.rotation(), a.revokes()) && !pending.Supersedes(next, old) && !a.isCompromised(old) {
		a.Pending = old
		old.Issuer = issuer.Name                                                          // same directory, but the block may have a new name
		old.OrderURL = text.FirstOf(old.OrderURL, a.Absence.order(c.Name, old.KeyDigest)) // countCrash stores it
		if err := a.makeNext(old); err != nil {
			return err
		}
		return a.countCrash(ctx)
	}
	d, err := a.newDraft(ctx, shape, next)
	if err != nil {
		return err
	}
	d.CAS = target.Version
	if old != nil {
		// The new pending secret replaces the old one with check-and-set. It takes over
		// the answers, whose TXT records may still exist.
		d.Stored = old.Stored
		d.Answers, d.Inherited = old.Answers, old.Inherited
	}
	a.Pending = d
	return a.countCrash(ctx)
}

// mayWrite rejects a target that changed since the plan, or that certroll did not write.
func (a *Attempt) mayWrite(target plan.Secret) error {
	at := plan.TargetOf(a.Action.Spec)
	if at == a.Action.At && target.Version != a.Action.Secret.Version {
		return &failure.Error{Code: ledger.ClassVault, Denied: true, Err: fmt.Errorf(
			"%s is at version %d, the plan saw version %d: another program wrote it meanwhile, and certroll ordered nothing; plan again",
			at, target.Version, a.Action.Secret.Version)}
	}
	if target.Version > 0 && target.Readable && target.Owner != a.Action.Certificate {
		return &failure.Error{Code: ledger.ClassConfig, Denied: true, Err: fmt.Errorf(
			"%s holds a secret that certroll did not write for certificate %q; it is not overwritten: choose another vault.path, or move that secret away",
			at, a.Action.Certificate)}
	}
	return nil
}

// rotation returns the last rotation request. If the spec dropped its request, the live
// one still counts as done, so that the same text causes no rotation when it comes back.
func (a *Attempt) rotation() string {
	if l := a.Action.Secret.Live; l != nil && a.Action.Secret.Owner == a.Action.Certificate {
		return text.FirstOf(a.Action.Spec.Rotate, l.Rotate)
	}
	return a.Action.Spec.Rotate
}

// recordedShape returns the key shape of the last certificate, from the metadata or else
// from the record; "" if there is none.
func (a *Attempt) recordedShape() string {
	if l := a.Action.Secret.Live; l != nil && a.Action.Secret.Owner == a.Action.Certificate {
		return l.KeyShape
	}
	if r := a.Action.Record; r != nil && r.Live != nil {
		return r.Live.KeyShape
	}
	return ""
}

// newDraft makes a pending secret in memory; countCrash stores it.
func (a *Attempt) newDraft(ctx context.Context, shape string, next *pending.StagedKey) (*pending.Secret, error) {
	c, issuer := a.Action.Spec, a.Action.Issuer
	d := &pending.Secret{
		Operation: a.Action.Kind, Reason: a.Action.Reason, Detail: a.Action.Detail,
		Revision: a.Revision.Commit, Rotate: a.rotation(), Names: c.Names(),
		Issuer: issuer.Name, Directory: issuer.Directory, Profile: issuer.Profile,
		At: plan.TargetOf(c), KeyShape: shape, Started: a.Clock().UTC(),
	}
	d.Actor, d.Cause = a.actor(a.Action.Reason)
	if l := a.Action.Secret.Live; l != nil {
		d.OldSerial = l.Serial
	}
	d.Revokes = a.revokes()
	var err error
	if next != nil {
		d.Key = next.Key
	}
	// A kept key gives way to a requested rotation, to key.max_age and to a compromise.
	if c.Key.Rotation == spec.RotateNever && a.Action.Kind != ledger.KindRotate && !a.keyIsTooOld() && !a.compromised() {
		d.Key, d.KeySince, err = a.reusedKey(ctx, shape)
	}
	if d.Key == nil && err == nil {
		a.Report("key", "making a fresh "+shape+" key")
		d.Key, err = keypair.NewKey(shape)
	}
	if err != nil {
		return nil, err
	}
	if d.KeyDigest, err = keypair.KeyDigest(d.Key.Public()); err != nil {
		return nil, err
	}
	d.Detail += a.keyWords(next)
	return d, a.makeNext(d)
}

// keyIsTooOld reports whether the key has reached key.max_age. The next renewal then
// makes a fresh key, which saves the order of a separate rotation.
func (a *Attempt) keyIsTooOld() bool {
	l, age := a.Action.Secret.Live, a.Action.Spec.Key.MaxAge
	return l != nil && age > 0 && !a.Clock().Before(l.KeySince.Add(age))
}

// reusedKey returns the live key for key.rotation = "never". It returns nil if the live key
// has another shape, or if another program overwrote the secret.
func (a *Attempt) reusedKey(ctx context.Context, shape string) (crypto.Signer, time.Time, error) {
	l := a.Action.Secret.Live
	if l == nil || l.KeyShape != shape || !a.Action.Secret.Readable || a.Action.Secret.IsStale() || a.changesHands(l) {
		return nil, time.Time{}, nil
	}
	data, _, err := a.Secrets.Read(ctx, a.Action.At.Mount, a.Action.At.Path)
	if err != nil {
		return nil, time.Time{}, err
	}
	p, err := keypair.FindIn(data)
	if err != nil {
		return nil, time.Time{}, &failure.Error{Code: ledger.ClassConfig, Err: fmt.Errorf(
			"key.rotation is \"never\", but the key cannot be read back from %s: %w; add a PEM field to vault.fields or let the key rotate", a.Action.At, err)}
	}
	return p.Key, l.KeySince, nil
}

// changesHands reports whether the certificate moves to another place in Vault because
// another directory of the config repo declares it now. Directories can have different
// owners: a team that declares another team's certificate name must not get its key.
func (a *Attempt) changesHands(l *ledger.Live) bool {
	c := a.Action.Spec
	return plan.TargetOf(c) != a.Action.At && path.Dir(l.File) != path.Dir(c.File)
}

package attempt

import (
	"context"
	"fmt"
	"maps"
	"time"

	"certroll/reconcile/failure"
	"certroll/reconcile/keypair"
	"certroll/reconcile/lease"
	"certroll/reconcile/ledger"
	"certroll/reconcile/observe"
	"certroll/reconcile/pending"
	"certroll/reconcile/plan"
	"certroll/spec/text"
)

// nextFor returns the staged key for an order; nil if none fits or key.next is off.
func (a *Attempt) nextFor(ctx context.Context, shape string) (*pending.StagedKey, error) {
	if !a.Action.Spec.Key.Next {
		return nil, nil
	}
	l := a.Action.Secret.Live
	n, err := a.Next.Load(ctx, a.Action.Certificate)
	if err != nil && (l == nil || l.NextKeyDigest == "" || l.RenewalEnd().Sub(a.Clock()) < l.Lifetime()/10) {
		a.unread = err // no TLSA record announces it, or too little time is left to wait for it
		return nil, nil
	}
	if err != nil || n == nil || n.Shape != shape {
		return nil, err
	}
	if l != nil && l.KeyDigest == n.Digest {
		return nil, nil // already live
	}
	return n, nil
}

// keyWords describes for the event whether the order's key was published before.
func (a *Attempt) keyWords(next *pending.StagedKey) string {
	switch {
	case !a.Action.Spec.Key.Next:
		return ""
	case a.unread != nil:
		return "; its key was not published ahead, as the staged one could not be read: " + text.FirstLine(failure.Message(a.unread))
	case next == nil:
		return "; its key was not published ahead, as none was staged"
	case !a.wasPublished(next.Digest):
		return "; its key was staged, but not published ahead"
	default:
		return "; its key was published ahead, since " + next.Since.UTC().Format(time.RFC3339)
	}
}

// wasPublished reports whether Vault's metadata or the ledger announced the key.
func (a *Attempt) wasPublished(digest string) bool {
	l := a.Action.Secret.Live
	return l != nil && l.NextKeyDigest == digest || a.publishedNext() == digest
}

// publishedNext returns the digest of the next key that the ledger published last.
func (a *Attempt) publishedNext() string {
	if l := a.recordLive(); l != nil {
		return l.NextKeyDigest
	}
	return ""
}

// makeNext generates the key after this one, to be staged once the pair is live. It is
// stored with the pending secret: the secret's fields can name it, and a crash does not
// generate another. If staging keeps failing, makeNext generates none: the secret would
// name a key that is not stored.
func (a *Attempt) makeNext(d *pending.Secret) (err error) {
	if !a.Action.Spec.Key.Next || plan.FailsToStage(a.Action.Record) {
		d.Next = nil
		return nil
	}
	if d.Next == nil || d.Next.Shape != d.KeyShape {
		d.Next, err = pending.NewStaged(d.KeyShape)
	}
	return err
}

// stageDrafted stages the pending secret's next key in place of the key that is live now.
// If staging has failed repeatedly, its error fails nothing and the next plan retries:
// staging must not hold up renewals.
func (a *Attempt) stageDrafted(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lease.WriteTimeout)
	defer cancel()
	// The pair is live and its fields name this key, so that it is staged even if
	// certroll is told to stop.
	next := a.Pending.Next
	if next == nil {
		return nil // the next plan decides what to stage
	}
	err := a.stageNext(ctx, next)
	if r := a.Action.Record; err != nil && r != nil && r.Failures >= ledger.PageAfter {
		a.Report("stage", "it is tried again with the next pass: "+text.FirstLine(failure.Message(err)))
		a.unstaged, err = err, nil
	}
	return err
}

// stageNext stages a key unless it is staged already, and publishes it in Live.
func (a *Attempt) stageNext(ctx context.Context, next *pending.StagedKey) error {
	there, err := a.Next.Load(ctx, a.Action.Certificate)
	if err != nil {
		return err
	}
	if there == nil || there.Digest != next.Digest {
		a.Report("stage", "staging the key of the next renewal")
		if err := a.Next.Replace(ctx, a.Action.Certificate, next, a.Clock()); err != nil {
			return err
		}
		there = next
	}
	pending.PublishNext(a.Live, there)
	return nil
}

// stage stages, publishes or withdraws the next key of the live pair, without an order.
func (a *Attempt) stage(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lease.WriteTimeout)
	defer cancel()
	a.Live = ledger.KeepNames(a.Action.Secret.Live, a.recordLive()).WithoutNext()
	if err := a.stageHere(ctx); err != nil {
		return err
	}
	return a.describe(ctx)
}

// stageHere stages the next key of a pair that is live without an order. A staged key
// stays if the next renewal can use it.
func (a *Attempt) stageHere(ctx context.Context) error {
	c := a.Action.Spec
	if !c.Key.Next {
		if a.Action.Next == nil {
			return nil
		}
		return a.Next.Drop(ctx, c.Name)
	}
	shape := keypair.ShapeOf(c.Key, a.Live.KeyShape)
	n, err := a.Next.Load(ctx, c.Name)
	if err != nil {
		return err
	}
	if n == nil || n.Shape != shape || n.Digest == a.Live.KeyDigest {
		a.Report("stage", "staging the key of the next renewal, "+shape)
		if n, err = pending.NewStaged(shape); err != nil {
			return err
		}
		if err := a.Next.Replace(ctx, c.Name, n, a.Clock()); err != nil {
			return err
		}
	}
	pending.PublishNext(a.Live, n)
	return nil
}

// withdraw destroys the next key of a certificate whose block is gone, and removes its
// digest from the secret's metadata unless another certificate took the secret over.
func (a *Attempt) withdraw(ctx context.Context, r *ledger.Record) error {
	if a.Action.Next == nil && (r.Live == nil || r.Live.NextKeyDigest == "") {
		return nil
	}
	if leaves, err := a.leavesNext(ctx, r); leaves || err != nil {
		return err
	}
	if err := a.Next.Drop(ctx, r.Certificate); err != nil {
		return fmt.Errorf("destroying the staged key of %q: %w", r.Certificate, err)
	}
	if a.Action.Secret.Owner != r.Certificate || a.hasHeir() {
		return nil
	}
	s, err := a.Observer.Secret(ctx, a.Action.At)
	if err != nil || s.Owner != r.Certificate || s.Live.NextKeyDigest == "" {
		return err
	}
	custom := maps.Clone(s.Custom)
	for _, key := range []string{observe.MetaNextKey, observe.MetaNextShape, observe.MetaNextSince} {
		delete(custom, key)
	}
	return a.Secrets.WriteMetadata(ctx, a.Action.At.Mount, a.Action.At.Path, custom)
}

// hasHeir reports whether another certificate claims the place of a removed one, or
// continues it under another name.
func (a *Attempt) hasHeir() bool {
	if a.Action.Heir {
		return true
	}
	for _, c := range a.Desired.Certificates {
		if plan.TargetOf(c) == a.Action.At {
			return true
		}
	}
	return false
}

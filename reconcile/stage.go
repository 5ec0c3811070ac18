package reconcile

import (
	"context"
	"fmt"
	"maps"
	"time"
)

// nextFor is the staged key that an order uses; nil where there is none that
// fits, or key.next is off.
func (a *attempt) nextFor(ctx context.Context, shape string) (*stagedKey, error) {
	if !a.action.Spec.Key.Next {
		return nil, nil
	}
	l := a.action.Secret.Live
	n, err := a.next.load(ctx, a.action.Certificate)
	if err != nil && (l == nil || l.NextKeyDigest == "" || l.renewalEnd().Sub(a.now()) < l.Lifetime()/10) {
		a.unread = err // nobody counts on it, or nobody can wait for it any more
		return nil, nil
	}
	if err != nil || n == nil || n.shape != shape {
		return nil, err
	}
	if l != nil && l.KeyDigest == n.digest {
		return nil, nil // it is live already
	}
	return n, nil
}

// keyWords says of an order whether its key was published before.
func (a *attempt) keyWords(next *stagedKey) string {
	switch {
	case !a.action.Spec.Key.Next:
		return ""
	case a.unread != nil:
		return "; its key was not published ahead, as the staged one could not be read: " + firstLine(message(a.unread))
	case next == nil:
		return "; its key was not published ahead, as none was staged"
	case !a.wasPublished(next.digest):
		return "; its key was staged, but not published ahead"
	default:
		return "; its key was published ahead, since " + next.since.UTC().Format(time.RFC3339)
	}
}

func (a *attempt) wasPublished(digest string) bool {
	l := a.action.Secret.Live
	return l != nil && l.NextKeyDigest == digest || a.toldNext() == digest
}

// toldNext is the digest of the next key that the ledger says was published.
func (a *attempt) toldNext() string {
	if l := a.recordLive(); l != nil {
		return l.NextKeyDigest
	}
	return ""
}

// makeNext makes the key that is staged once the pair is live, with the pending
// secret: the secret itself can name it, and a crash makes no other one. Where
// staging is what fails, none is: the secret would name a key that nobody has.
func (a *attempt) makeNext(d *draft) (err error) {
	if !a.action.Spec.Key.Next || failsToStage(a.action.Record) {
		d.Next = nil
		return nil
	}
	if d.Next == nil || d.Next.shape != d.KeyShape {
		d.Next, err = newStaged(d.KeyShape)
	}
	return err
}

// stageDrafted stages the key that the pending secret has for it, in place of
// the one that is live by now. What cannot be staged again and again is left to
// the next plan: it holds up no renewal after this one.
func (a *attempt) stageDrafted(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	next := a.draft.Next
	if next == nil {
		return nil // what may be staged is the next plan's matter
	}
	err := a.stageNext(ctx, next)
	if r := a.action.Record; err != nil && r != nil && r.Failures >= pageAfter {
		a.report("stage", "it is tried again with the next pass: "+firstLine(message(err)))
		a.unstaged, err = err, nil
	}
	return err
}

func (a *attempt) stageNext(ctx context.Context, next *stagedKey) error {
	there, err := a.next.load(ctx, a.action.Certificate)
	if err != nil {
		return err
	}
	if there == nil || there.digest != next.digest {
		a.report("stage", "staging the key of the next renewal")
		if err := a.next.replace(ctx, a.action.Certificate, next, a.now()); err != nil {
			return err
		}
		there = next
	}
	publishNext(a.live, there)
	return nil
}

// stage makes, publishes or withdraws the next key of what is live, and orders
// nothing.
func (a *attempt) stage(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	a.live = keepNames(a.action.Secret.Live, a.recordLive()).withoutNext()
	if err := a.stageHere(ctx); err != nil {
		return err
	}
	return a.describe(ctx)
}

// stageHere sees to the next key of a pair that is live without an order: the
// one that is staged stays where the next renewal can use it.
func (a *attempt) stageHere(ctx context.Context) error {
	c := a.action.Spec
	if !c.Key.Next {
		if a.action.Next == nil {
			return nil
		}
		return a.next.drop(ctx, c.Name)
	}
	shape := shapeOf(c.Key, a.live.KeyShape)
	n, err := a.next.load(ctx, c.Name)
	if err != nil {
		return err
	}
	if n == nil || n.shape != shape || n.digest == a.live.KeyDigest {
		a.report("stage", "staging the key of the next renewal, "+shape)
		if n, err = newStaged(shape); err != nil {
			return err
		}
		if err := a.next.replace(ctx, c.Name, n, a.now()); err != nil {
			return err
		}
	}
	publishNext(a.live, n)
	return nil
}

// withdraw destroys the next key of a certificate whose block is gone, and takes
// its digest off the secret, unless that is an heir's by now.
func (a *attempt) withdraw(ctx context.Context, r *Record) error {
	if a.action.Next == nil && (r.Live == nil || r.Live.NextKeyDigest == "") {
		return nil
	}
	if err := a.next.drop(ctx, r.Certificate); err != nil {
		return fmt.Errorf("destroying the staged key of %q: %w", r.Certificate, err)
	}
	if a.action.Secret.Owner != r.Certificate || a.hasHeir() {
		return nil
	}
	s, err := a.observer.Secret(ctx, a.action.At)
	if err != nil || s.Owner != r.Certificate || s.Live.NextKeyDigest == "" {
		return err
	}
	custom := maps.Clone(s.Custom)
	for _, key := range []string{metaNextKey, metaNextShape, metaNextSince} {
		delete(custom, key)
	}
	return a.secrets.WriteMetadata(ctx, a.action.At.Mount, a.action.At.Path, custom)
}

// hasHeir tells that another certificate claims the place of one that is gone, or goes
// on with it under another name.
func (a *attempt) hasHeir() bool {
	if a.action.heir {
		return true
	}
	for _, c := range a.desired.Certificates {
		if targetOf(c) == a.action.At {
			return true
		}
	}
	return false
}

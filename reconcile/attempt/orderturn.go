package attempt

import (
	"context"
	"errors"
	"time"

	"certroll/reconcile/keylock"
	"certroll/reconcile/pending"
)

// AttemptTime is how long one attempt may work on its order, however long the CA and the
// DNS providers let it wait, and however many orders it makes. It exceeds the propagation
// of two DNS accounts at an hour each, the longest propagation that can be set.
const AttemptTime = 150 * time.Minute

// OrderTurns serializes orders for the same account, names and profile. A CA may return
// one open order for all of them (RFC 8555 leaves that open; Boulder does so). Only one
// certificate can be finalized from an order, so the other of two certificates, such as
// an RSA and an ECDSA one, would fail.
//
// An attempt that has the turn waits for no other turn and for no place of the limiter
// while it has it, which excludes a deadlock. AttemptTime bounds the attempt.
type OrderTurns struct{ keylock.Locks }

// errNoTurn means that an attempt waited for its turn in vain. That is no failure of the
// CA nor of the certificate: the next run tries again.
var errNoTurn = errors.New("another certificate with the same names, account and profile is at work on its order; this one is ordered after it")

// AwaitTurn waits for the turn, until ctx ends, or for AttemptTime: the error is then
// errNoTurn. It calls waiting if the turn is taken. The caller gives the turn back with
// the returned function.
func (o *OrderTurns) AwaitTurn(ctx context.Context, key string, waiting func()) (func(), error) {
	wait, cancel := context.WithTimeout(ctx, AttemptTime)
	defer cancel()
	done, err := o.Take(wait, key, waiting)
	switch {
	case err == nil:
		return done, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	return nil, errNoTurn
}

// obtain makes the certificate and writes it. ctx is the run's, without the deadline of
// the attempt: the wait for the turn has its own end, and takes none of the attempt's time.
func (a *Attempt) obtain(ctx context.Context) error {
	if err := a.inTime(ctx, func(ctx context.Context) error {
		if a.Action.Kind.Orders() { // else it is a repair, whose order is decided by what it found
			a.credentials = a.Observer.CredentialsOf(ctx, a.Desired, a.Action.Spec)
		}
		return a.runSteps(ctx, firstSteps)
	}); err != nil {
		return err
	}
	done, err := a.awaitTurn(ctx)
	if err != nil {
		return err
	}
	return a.inTime(ctx, func(ctx context.Context) error {
		err := a.runSteps(ctx, orderSteps)
		done()
		if err != nil {
			return err
		}
		return a.runSteps(ctx, resumeSteps)
	})
}

// awaitTurn waits for the turn of the attempt's order. A pending secret with its chain
// needs no order, and so no turn.
func (a *Attempt) awaitTurn(ctx context.Context) (done func(), err error) {
	if pending.PhaseOf(a.Pending) >= pending.PhaseChained {
		return func() {}, nil
	}
	before := a.Clock()
	done, err = a.orderTurns.AwaitTurn(ctx, a.turnKey(), func() {
		a.Report("order", "waiting for another certificate with the same names, account and profile")
	})
	a.waited = a.Clock().Sub(before)
	if errors.Is(err, errNoTurn) {
		a.Report("order", "left to the next run after "+AttemptTime.String()+": "+err.Error())
		// The run ends without an event, and is no crash.
		a.Pending.Tries--
		if err := a.PendingSecrets.Store(ctx, a.Action.Certificate, a.Pending); err != nil {
			return nil, err
		}
	}
	return done, err
}

// worked returns how long the attempt has been at work, without the wait for its turn.
func (a *Attempt) worked() time.Duration { return a.Clock().Sub(a.began) - a.waited }

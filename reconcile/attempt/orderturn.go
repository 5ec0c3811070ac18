package attempt

import (
	"context"
	"fmt"
	"time"

	"certroll/reconcile/failure"
	"certroll/reconcile/keylock"
	"certroll/reconcile/ledger"
)

// AttemptTime is how long one attempt may take until its order is done, whatever
// the CA and the DNS providers let it wait for, and however many orders it makes. It
// is longer than two DNS accounts whose propagation takes an hour each, the longest
// that may be set.
const AttemptTime = 150 * time.Minute

// OrderTurns lets orders for the same account, names and profile go one after
// another. CAs hand out one and the same order for them while it is open (RFC 8555
// leaves that to the CA; Boulder does it), and only one of two certificates, as an
// RSA and an ECDSA one, could be finalized from it.
//
// Whoever has the turn is at work on its order, and asks for no other turn and for
// no place at the gate while it has it: the attempt ends by attemptTime.
type OrderTurns struct{ keylock.Locks }

// AwaitTurn waits until the turn is free, until ctx ends or for as long as one attempt
// may last. The function returned gives the turn back.
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
	return nil, &failure.Error{Code: ledger.ClassCAUnavailable, Err: fmt.Errorf(
		"another certificate with the same names, account and profile has been at work on its order for %s; this one is ordered after it", AttemptTime)}
}

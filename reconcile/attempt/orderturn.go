package attempt

import (
	"context"
	"errors"
	"time"

	"certroll/reconcile/keylock"
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
var errNoTurn = errors.New("another certificate has its turn, with the same names or at the same challenge name; this one is ordered after it")

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

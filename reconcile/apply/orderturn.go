package apply

import (
	"context"
	"fmt"
	"strings"

	"certroll/reconcile/failure"
	"certroll/reconcile/keylock"
	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
)

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

// turnKey is equal for orders that a CA may hand out as one.
func (a *Attempt) turnKey() string {
	i := a.Action.Issuer
	return strings.Join([]string{i.Directory, i.Account, i.Profile, keypair.NamesDigest(a.Draft.Names)}, "\x00")
}

// isOurs checks that an order brought the certificate for our key. Where another
// certificate was finalized from the order, that one has what it wanted, and this
// one needs an order of its own.
func (a *Attempt) isOurs(chain []byte) error {
	certs, err := keypair.ParseChain(chain)
	if err != nil {
		return nil //nolint:nilerr // verify tells what is wrong with it
	}
	if keypair.Leaf(certs, a.Draft.Key.Public()) >= 0 {
		return nil // wherever it stands: verify puts the chain in order
	}
	return &failure.Error{Code: ledger.ClassCARejected, Gone: true, Err: fmt.Errorf(
		"the order %s has a certificate with another key, serial %s: another certificate with the same names was finalized from it. %s needs an order of its own; what is live stays",
		a.Draft.OrderURL, keypair.SerialOf(certs[0]), a.Action.Certificate)}
}

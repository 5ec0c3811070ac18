package reconcile

import (
	"context"
	"fmt"
	"strings"

	"certroll/reconcile/keylock"
	"certroll/reconcile/keypair"
)

// orderTurns lets orders for the same account, names and profile go one after
// another. CAs hand out one and the same order for them while it is open (RFC 8555
// leaves that to the CA; Boulder does it), and only one of two certificates, as an
// RSA and an ECDSA one, could be finalized from it.
//
// Whoever has the turn is at work on its order, and asks for no other turn and for
// no place at the gate while it has it: the attempt ends by attemptTime.
type orderTurns struct{ keylock.Locks }

// take waits until the turn is free, until ctx ends or for as long as one attempt
// may last. The function returned gives the turn back.
func (o *orderTurns) take(ctx context.Context, key string, waiting func()) (func(), error) {
	wait, cancel := context.WithTimeout(ctx, attemptTime)
	defer cancel()
	done, err := o.Take(wait, key, waiting)
	switch {
	case err == nil:
		return done, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	return nil, &failure{code: ClassCAUnavailable, err: fmt.Errorf(
		"another certificate with the same names, account and profile has been at work on its order for %s; this one is ordered after it", attemptTime)}
}

// turnKey is equal for orders that a CA may hand out as one.
func (a *attempt) turnKey() string {
	i := a.action.Issuer
	return strings.Join([]string{i.Directory, i.Account, i.Profile, namesDigest(a.draft.Names)}, "\x00")
}

// isOurs checks that an order brought the certificate for our key. Where another
// certificate was finalized from the order, that one has what it wanted, and this
// one needs an order of its own.
func (a *attempt) isOurs(chain []byte) error {
	certs, err := parseChain(chain)
	if err != nil {
		return nil //nolint:nilerr // verify tells what is wrong with it
	}
	if keypair.Leaf(certs, a.draft.Key.Public()) >= 0 {
		return nil // wherever it stands: verify puts the chain in order
	}
	return &failure{code: ClassCARejected, gone: true, err: fmt.Errorf(
		"the order %s has a certificate with another key, serial %s: another certificate with the same names was finalized from it. %s needs an order of its own; what is live stays",
		a.draft.OrderURL, serialOf(certs[0]), a.action.Certificate)}
}

package attempt

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"time"

	"certroll/reconcile/failure"
	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/pending"
	"certroll/reconcile/plan"
)

// sentPair returns the key with the CA's chain, sorted from the leaf upwards.
func sentPair(chain []byte, key crypto.Signer, now time.Time) (keypair.Pair, error) {
	certs, err := keypair.ParseChain(chain)
	if err != nil {
		return keypair.Pair{}, err
	}
	if certs, err = keypair.Tidy(certs, key.Public(), now); err != nil {
		return keypair.Pair{}, err
	}
	return keypair.Pair{Chain: certs, Key: key}, nil
}

// chainLasts rejects an expired chain, unless the live chain expired before it.
func (a *Attempt) chainLasts(p keypair.Pair) error {
	now, end := a.Clock(), p.Ends()
	if end.After(now) {
		return nil
	}
	if l := a.ownLive(); l != nil && (l.End().Before(end) || !l.NotAfter.After(now)) {
		return nil // the live chain is worse
	}
	last := keypair.EndsFirst(p.Chain)
	return endedChain{fmt.Errorf("the certificate of %q (serial %s) in its chain expired %s, and the CA offers no other chain: clients would refuse it",
		last.Subject.CommonName, keypair.SerialOf(last), end.Format(time.RFC3339))}
}

// endedChain is the error of an expired chain: another order would bring the same chain.
type endedChain struct{ error }

// unfit rejects an issued certificate. It keeps the order and its key: the next attempt
// reads the order again and may find another chain, or a certificate that is valid by
// then. A new order would bring the same certificate and count against the CA's limits.
func (a *Attempt) unfit(ctx context.Context, why error) error {
	d := a.Pending
	if d.Unfit.IsZero() {
		d.Unfit = a.Clock().UTC().Truncate(time.Second)
		d.UnfitOrders++
	}
	// Another order would bring the same expired chain, so that the long wait applies at
	// once.
	if errors.As(why, new(endedChain)) {
		d.UnfitOrders = max(d.UnfitOrders, 2)
	}
	d.UnfitUntil = d.Unfit.Add(a.unfitWait())
	// Without the chain the phase is "ordered" again: the next attempt reads the order.
	d.Chain, d.DataDigest = "", ""
	a.refusedCert = true
	f := &failure.Error{Code: ledger.ClassCARejected}
	next := fmt.Sprintf("its order %s is read again then, and nothing else is ordered before %s", d.OrderURL, d.RefusedUntil().Format(time.RFC3339))
	var early keypair.NotYet
	if errors.As(why, &early) {
		// The clock of this machine or of the CA is wrong, which time resolves.
		f.Passes, f.At = true, early.From.Add(-keypair.MaxSkew)
		next = "its order is read again then"
	}
	f.Err = errors.Join(fmt.Errorf("checking the certificate that %s sent for %s: %w; it was not written, what is live stays; %s",
		d.Issuer, a.Action.Certificate, why, next), a.PendingSecrets.Store(context.WithoutCancel(ctx), a.Action.Certificate, d))
	return f
}

// unfitWait is how long the order of a rejected certificate is kept.
func (a *Attempt) unfitWait() time.Duration {
	wait := pending.UnfitAgain
	if a.Pending.UnfitOrders < 2 {
		wait = pending.UnfitOnce
	}
	if l := a.ownLive(); l != nil {
		wait = min(wait, l.Lifetime()/plan.LeastBefore)
	}
	return wait
}

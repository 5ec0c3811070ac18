package attempt

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"certroll/reconcile/failure"
	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/pending"
	"certroll/reconcile/times"
	"certroll/spec"
	"certroll/spec/text"
)

// withAnotherKey orders once more with a fresh key, after the CA did not take the one
// at hand: CAs block keys that were compromised, and a kept key (key.rotation =
// "never") would be refused until the certificate expires. It is done once for each
// pending secret, which tells so: a CA that takes no key of this shape gets no more.
func (a *Attempt) withAnotherKey(ctx context.Context, refusal error) error {
	d := a.Pending
	key, err := keypair.NewKey(d.KeyShape)
	if err != nil {
		return errors.Join(refusal, err)
	}
	digest, err := keypair.KeyDigest(key.Public())
	if err != nil {
		return errors.Join(refusal, err)
	}
	a.Report("key", "the CA does not take the key, making a fresh "+d.KeyShape+" key: "+text.FirstLine(failure.Message(refusal)))
	d.BlockedKey, d.Key, d.KeyDigest, d.KeySince, d.Described = d.KeyDigest, key, digest, time.Time{}, false
	d.OrderURL = ""
	d.Detail += "; the CA does not take the key " + d.BlockedKey[:12] + "..., another one was made"
	if a.Action.Spec.Key.Rotation == spec.RotateNever {
		d.Detail += " though key.rotation is \"never\""
	}
	if err := a.PendingSecrets.Store(context.WithoutCancel(ctx), a.Action.Certificate, d); err != nil {
		return errors.Join(refusal, err)
	}
	if a.orders == 0 {
		a.orders++ // an earlier run made the one that was given up
	}
	return a.orderInTime(ctx)
}

// AccountChecker is a CA that can be asked whether an issuer's ACME account is
// in order, before anything is ordered with it.
type AccountChecker interface {
	// CheckAccount opens the account, and fails with an error whose owner is
	// the account where the CA does not take it any more.
	CheckAccount(ctx context.Context, issuer *spec.Issuer) error
}

// checkAccount asks once a pass for each issuer. Only what is the account's own
// fault ends the attempt here: a CA that is away is waited for by the order.
func (a *Attempt) checkAccount(ctx context.Context) error {
	ca, ok := a.Ca.(AccountChecker)
	name := a.Action.Issuer.Name
	if !ok || a.Gate.IsUsable(name) {
		return nil
	}
	err := ca.CheckAccount(ctx, a.Action.Issuer)
	if err != nil && (failure.IsInterrupt(ctx, err) || failure.OwnerOf(err) == ledger.OwnerAccount) {
		return err
	}
	if err == nil {
		a.Gate.AccountUsable(name)
		a.Colleagues.HandOver() // others may go on by it
	}
	return nil
}

// order brings the draft to a chain while no other certificate is at work on an
// order for the same names, account and profile.
func (a *Attempt) order(ctx context.Context) error {
	if pending.PhaseOf(a.Pending) >= pending.PhaseChained {
		return nil
	}
	done, err := a.orderTurns.AwaitTurn(ctx, a.turnKey(), func() {
		a.Report("order", "waiting for another certificate with the same names, account and profile")
	})
	if err != nil {
		return err
	}
	defer done()
	return a.orderAlone(ctx)
}

// orderAlone creates the order where there is none, and goes on with the one there
// is. An order that is of no more use is replaced once, with the same key; one that
// was made in this attempt only where another certificate was finalized from it.
func (a *Attempt) orderAlone(ctx context.Context) error {
	inherited := pending.PhaseOf(a.Pending) == pending.PhaseOrdered
	if d := a.Pending; !d.Unfit.IsZero() && !d.KeepsUnfit(a.Clock()) {
		a.Report("order", "the certificate of the order "+d.OrderURL+" is refused since "+d.Unfit.Format(time.RFC3339)+"; a new one is made with the same key")
		d.OrderURL, d.Unfit, d.UnfitUntil, inherited = "", time.Time{}, time.Time{}, false
	}
	err := a.orderInTime(ctx)
	if err == nil || failure.IsInterrupt(ctx, err) || a.Pending.OrderURL == "" {
		return err
	}
	if failure.IsBadKey(err) && a.Pending.BlockedKey == "" {
		return a.withAnotherKey(ctx, err)
	}
	why, noteErr := a.spent(ctx, err, inherited)
	if why == "" || noteErr != nil {
		return errors.Join(err, noteErr)
	}
	a.Report("order", why+"; a new one is made with the same key")
	if inherited {
		a.orders++ // nobody may have told of that one
	}
	return a.orderInTime(ctx)
}

// orderTries is how many attempts may fail with one order before a new one is made.
const orderTries = 3

// spent decides after a failure whether the order is of no more use, and says why.
// What it counts is kept in the pending secret: a resumed order has an end of ours.
//
// An order that the CA no longer takes is forgotten for good. One that only seems to
// be of no use stays in the pending secret until the CA has made another, so that a
// CA that is away for long costs no order.
func (a *Attempt) spent(ctx context.Context, err error, inherited bool) (why string, noteErr error) {
	d := a.Pending
	switch {
	case d.KeepsUnfit(a.Clock()):
		return "", nil // a new order would bring the same certificate once more
	case failure.IsOrderGone(err):
		d.OrderURL = ""
		if why = "the CA no longer takes the earlier run's order"; isForeign(err) {
			why = "another certificate was finalized from the order"
		} else if !inherited {
			why = ""
		}
	case failure.IsProcessing(err):
		if d.Processing.IsZero() {
			d.Processing = a.Clock().UTC().Truncate(time.Second)
		}
		if a.Clock().Sub(d.Processing) >= processingTimeout(a.Action.Issuer) {
			d.OrderURL = ""
			return "the CA has been processing the order " + a.orderURL + " since " + d.Processing.Format(time.RFC3339), nil
		}
	case isOfOrder(err):
		if d.Refused++; inherited && d.Refused >= orderTries {
			d.OrderURL = ""
			return fmt.Sprintf("%d attempts failed with the order %s", d.Refused, a.orderURL), nil
		}
	default:
		return "", nil
	}
	return why, a.PendingSecrets.Store(context.WithoutCancel(ctx), a.Action.Certificate, d)
}

// isForeign tells that an order was another certificate's.
func isForeign(err error) bool {
	var f *failure.Error
	return errors.As(err, &f) && f.Gone
}

// isOfOrder tells a failure that another order may not have: the CA refuses what the
// order needs, or its URL does not answer. A limit, CAA and what DNS fails with would
// be the same for any order.
func isOfOrder(err error) bool {
	switch owner := failure.OwnerOf(err); failure.ClassOf(err) {
	case ledger.ClassCARejected:
		return owner == ledger.OwnerCertificate
	case ledger.ClassCAUnavailable:
		return owner == ledger.OwnerIssuer
	default:
		return false
	}
}

// processingTimeout is how long a CA may be at work on an order.
func processingTimeout(i *spec.Issuer) time.Duration {
	if i.Processing > 0 {
		return i.Processing
	}
	return times.Day
}

// orderInTime works on the order until the attempt's time is over. The order and
// its key are kept: the next attempt goes on with them.
func (a *Attempt) orderInTime(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, AttemptTime-a.Clock().Sub(a.began))
	defer cancel()
	err := a.orderPatiently(limited)
	if err == nil || ctx.Err() != nil || limited.Err() == nil {
		return err
	}
	return &failure.Error{Code: ledger.ClassCAUnavailable, Err: fmt.Errorf(
		"the attempt at %s was not done after %s and was stopped, so that nothing else waits for it; the next attempt goes on with the order %s: %w",
		a.Action.Certificate, AttemptTime, a.Pending.OrderURL, err)}
}

// orderPatiently tries again within the attempt where the CA is away, which
// may pass within minutes. It never outlasts a word of the CA itself.
func (a *Attempt) orderPatiently(ctx context.Context) error {
	for _, wait := range a.Opts.Patience {
		err := a.orderOnce(ctx)
		if err == nil || failure.ClassOf(err) != ledger.ClassCAUnavailable || failure.IsInterrupt(ctx, err) || failure.IsOrderGone(err) {
			return err
		}
		if at := failure.RetryAt(err); at.After(a.Clock().Add(wait)) {
			return err
		}
		a.Report("order", "the CA is unavailable, trying again in "+wait.String()+": "+text.FirstLine(failure.Message(err)))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
	return a.orderOnce(ctx)
}

func (a *Attempt) orderOnce(ctx context.Context) error {
	d := a.Pending
	if d.OrderURL == "" {
		if err := a.newOrder(ctx); err != nil {
			return err
		}
	} else {
		a.Report("order", "going on with the order "+d.OrderURL)
	}
	a.orderURL = d.OrderURL
	csr, err := newCSR(d.Key, d.Names)
	if err != nil {
		return err
	}
	a.sweepEarlierOrders(ctx)
	chain, account, passed, err := a.finish(ctx, csr)
	for _, p := range passed {
		a.passedOver = append(a.passedOver, ledger.PassedOver{Account: failure.AccountOf(p), Class: failure.ClassOf(p), Message: failure.Message(p)})
	}
	if err != nil {
		return err
	}
	if err := a.isOurs(chain); err != nil {
		return err
	}
	d.Chain, d.Account, d.Accounts = string(chain), account, a.published.all()
	return nil
}

// newOrder makes an order and keeps its URL before anything else is done.
func (a *Attempt) newOrder(ctx context.Context) error {
	d, issuer := a.Pending, a.Action.Issuer
	a.Report("order", "ordering "+strings.Join(d.Names, " ")+" from "+issuer.Name)
	url, replaced, err := a.Ca.Order(ctx, issuer, d.Names, a.Action.Replaces)
	if err != nil {
		return err
	}
	a.orders++
	d.OrderURL, d.Exempt = url, a.Action.Exempt
	d.Refused, d.Processing, d.Unfit, d.UnfitUntil = 0, time.Time{}, time.Time{}, time.Time{}
	if d.Exempt == ledger.ExemptARI && !replaced {
		d.Exempt = ledger.ExemptRenewal
	}
	err = a.PendingSecrets.Store(context.WithoutCancel(ctx), a.Action.Certificate, d)
	if err != nil {
		a.Absence.keep(a.Action.Certificate, looseOrder{url, d.KeyDigest})
	}
	return err
}

// newCSR makes a PKCS #10 request with the names as subject alternative names
// and no subject, which is all that an ACME CA looks at.
func newCSR(key crypto.Signer, names []string) ([]byte, error) {
	req := &x509.CertificateRequest{}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			req.IPAddresses = append(req.IPAddresses, ip)
		} else {
			req.DNSNames = append(req.DNSNames, n)
		}
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, req, key)
	if err != nil {
		return nil, fmt.Errorf("making a certificate request: %w", err)
	}
	return der, nil
}

// turnKey is equal for orders that a CA may hand out as one.
func (a *Attempt) turnKey() string {
	i := a.Action.Issuer
	return strings.Join([]string{i.Directory, i.Account, i.Profile, keypair.NamesDigest(a.Pending.Names)}, "\x00")
}

// isOurs checks that an order brought the certificate for our key. Where another
// certificate was finalized from the order, that one has what it wanted, and this
// one needs an order of its own.
func (a *Attempt) isOurs(chain []byte) error {
	certs, err := keypair.ParseChain(chain)
	if err != nil {
		return nil //nolint:nilerr // verify tells what is wrong with it
	}
	if keypair.Leaf(certs, a.Pending.Key.Public()) >= 0 {
		return nil // wherever it stands: verify puts the chain in order
	}
	return &failure.Error{Code: ledger.ClassCARejected, Gone: true, Err: fmt.Errorf(
		"the order %s has a certificate with another key, serial %s: another certificate with the same names was finalized from it. %s needs an order of its own; what is live stays",
		a.Pending.OrderURL, keypair.SerialOf(certs[0]), a.Action.Certificate)}
}

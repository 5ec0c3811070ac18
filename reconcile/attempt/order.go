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
	"certroll/spec/await"
	"certroll/spec/text"
)

// withAnotherKey orders once more with a fresh key after the CA rejected the key
// (badPublicKey, RFC 8555 section 6.7). CAs block compromised keys, and a kept key
// (key.rotation = "never") would be rejected until the certificate expires. The pending
// secret records the replacement: a CA that rejects every key of this shape gets one.
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
		a.orders++ // an earlier run created the order that is abandoned now
	}
	return failureBefore(refusal, a.orderInTime(ctx))
}

// AccountChecker is implemented by a CA adapter that can check an issuer's ACME account
// before certroll orders with it.
type AccountChecker interface {
	// CheckAccount opens the account. Its error has the owner "account" if the CA no
	// longer accepts the account.
	CheckAccount(ctx context.Context, issuer *spec.Issuer) error
}

// checkAccount runs once per pass and issuer. Only a fault of the account itself ends the
// attempt here; the order step retries an unavailable CA.
func (a *Attempt) checkAccount(ctx context.Context) error {
	ca, ok := a.Ca.(AccountChecker)
	name := a.Action.Issuer.Name
	if !ok || a.Pass.IsUsable(name) {
		return nil
	}
	err := ca.CheckAccount(ctx, a.Action.Issuer)
	if err != nil && (failure.IsInterrupt(ctx, err) || failure.OwnerOf(err) == ledger.OwnerAccount) {
		return err
	}
	if err == nil {
		a.Pass.AccountUsable(name)
		a.Colleagues.HandOver() // waiting certificates may proceed with this account
	}
	return nil
}

// order obtains the chain. The attempt has its turn, as OrderTurns explains.
//
// It creates an order or resumes the existing one. It replaces a useless order once, with
// the same key. An order that this attempt created is replaced only if another
// certificate was finalized from it.
func (a *Attempt) order(ctx context.Context) error {
	if pending.PhaseOf(a.Pending) >= pending.PhaseChained {
		return nil
	}
	// An inherited order was created by an earlier run.
	inherited := pending.PhaseOf(a.Pending) == pending.PhaseOrdered
	if d := a.Pending; !d.Unfit.IsZero() && !d.KeepsUnfit(a.Clock()) {
		a.Report("order", "the certificate of the order "+d.OrderURL+" is refused since "+d.Unfit.Format(time.RFC3339)+"; a new one is made with the same key")
		d.OrderURL, d.Unfit, d.UnfitUntil, inherited = "", time.Time{}, time.Time{}, false
	}
	err := a.orderInTime(ctx)
	if err == nil || failure.IsInterrupt(ctx, err) || errors.Is(err, errNoTurn) || a.Pending.OrderURL == "" {
		return err
	}
	if failure.IsBadKey(err) && a.Pending.BlockedKey == "" && a.worked() < AttemptTime {
		return a.withAnotherKey(ctx, err)
	}
	why, noteErr := a.spent(ctx, err, inherited)
	if why == "" || noteErr != nil {
		return errors.Join(err, noteErr)
	}
	if a.worked() >= AttemptTime {
		// Without the URL the next attempt makes the new order.
		return errors.Join(err, a.PendingSecrets.Store(context.WithoutCancel(ctx), a.Action.Certificate, a.Pending))
	}
	a.Report("order", why+"; a new one is made with the same key")
	if inherited {
		a.orders++ // the earlier run may have written no event that counts its order
	}
	return failureBefore(err, a.orderInTime(ctx))
}

// failureBefore returns the error of an attempt whose first order failed and whose second
// one ended with again: a failure is never lost for a turn that did not come.
func failureBefore(first, again error) error {
	if errors.Is(again, errNoTurn) {
		return first
	}
	return again
}

// orderTries is how many attempts may fail with one order before certroll replaces it.
const orderTries = 3

// spent decides after a failure whether the order is useless, and returns the reason. It
// counts in the pending secret, so that even a resumed order ends by certroll's own
// limit.
//
// An order that the CA no longer accepts is removed from the pending secret at once. An
// order that reached a limit stays in the stored pending secret until newOrder has stored
// its successor: while the CA is unavailable, each attempt resumes the old order, and no
// order is wasted.
func (a *Attempt) spent(ctx context.Context, err error, inherited bool) (why string, noteErr error) {
	d := a.Pending
	switch {
	case d.KeepsUnfit(a.Clock()):
		return "", nil // a new order would bring the same certificate again
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

// isForeign reports whether another certificate was finalized from the order.
func isForeign(err error) bool {
	var f *failure.Error
	return errors.As(err, &f) && f.Gone
}

// isOfOrder reports whether a fresh order may avoid the failure: the CA rejects something
// that the order needs, or its URL does not answer. Rate limits, CAA and DNS failures
// would be the same for any order.
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

// processingTimeout is how long an order may stay in the state "processing".
func processingTimeout(i *spec.Issuer) time.Duration {
	if i.Processing > 0 {
		return i.Processing
	}
	return times.Day
}

// orderInTime works on the order until the attempt's time is over. The pending secret
// keeps the order and its key, and the next attempt resumes them. A failure of any name
// counts, even if another name was still waiting when the time was over.
func (a *Attempt) orderInTime(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, AttemptTime-a.worked())
	defer cancel()
	err := a.orderPatiently(limited)
	if err == nil || ctx.Err() != nil || limited.Err() == nil || !failure.IsTimeUp(err) {
		return err
	}
	if a.turns.prevail(a.Clock()) {
		return errNoTurn
	}
	return &failure.Error{Code: ledger.ClassCAUnavailable, Err: fmt.Errorf(
		"certroll stopped the attempt at %s, which was not done after %s, so that nothing else waits for it; the next attempt continues the order %s: %w",
		a.Action.Certificate, AttemptTime, a.Pending.OrderURL, err)}
}

// orderPatiently retries within the attempt while the CA is unavailable, as most outages
// pass within minutes. It stops if the CA's Retry-After is later than the next try.
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
		if ended := await.Sleep(ctx, wait); errors.Is(ended, context.DeadlineExceeded) {
			return err
		} else if ended != nil {
			return ended
		}
	}
	return a.orderOnce(ctx)
}

// orderOnce creates an order or resumes the existing one, and has the CA adapter finish
// it.
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

// newOrder creates an order and stores its URL before anything else: an order without a
// stored URL would be lost by a crash, and still count against the CA's limits.
func (a *Attempt) newOrder(ctx context.Context) error {
	d, issuer := a.Pending, a.Action.Issuer
	a.Report("order", "ordering "+strings.Join(d.Names, " ")+" from "+issuer.Name)
	url, replaced, err := a.Ca.Order(ctx, issuer, d.Names, a.Action.Replaces)
	if err != nil {
		return err
	}
	// Counted even if storing the URL fails: the CA has counted it.
	a.orders++
	d.OrderURL, d.Exempt = url, a.Action.Exempt
	d.Refused, d.Processing, d.Unfit, d.UnfitUntil = 0, time.Time{}, time.Time{}, time.Time{}
	// The CA rejected replaces. A renewal of the same names without it is exempt from
	// fewer limits (Let's Encrypt: not from those per exact set and per failed
	// validation).
	if d.Exempt == ledger.ExemptARI && !replaced {
		d.Exempt = ledger.ExemptRenewal
	}
	// The order exists: its URL is stored even if certroll is told to stop.
	err = a.PendingSecrets.Store(context.WithoutCancel(ctx), a.Action.Certificate, d)
	if err != nil {
		// The process remembers the URL while Vault is unusable. Without it the next
		// attempt would create another order.
		a.Absence.keep(a.Action.Certificate, looseOrder{url, d.KeyDigest})
	}
	return err
}

// newCSR makes a PKCS #10 request with the names as subject alternative names and no
// subject: RFC 8555 section 7.4 takes the identifiers from either place.
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

// turnKey is equal for two orders if a CA may return the same order for both.
func (a *Attempt) turnKey() string {
	i := a.Action.Issuer
	return strings.Join([]string{i.Directory, i.Account, i.Profile, keypair.NamesDigest(a.Pending.Names)}, "\x00")
}

// isOurs checks that the order's certificate has certroll's key. If another certificate
// was finalized from the order, this certificate needs an order of its own.
func (a *Attempt) isOurs(chain []byte) error {
	certs, err := keypair.ParseChain(chain)
	if err != nil {
		return nil //nolint:nilerr // verify reports the parse error
	}
	if keypair.Leaf(certs, a.Pending.Key.Public()) >= 0 {
		return nil // at any position: verify sorts the chain
	}
	return &failure.Error{Code: ledger.ClassCARejected, Gone: true, Err: fmt.Errorf(
		"the order %s has a certificate with another key, serial %s: another certificate with the same names was finalized from it. %s needs an order of its own; what is live stays",
		a.Pending.OrderURL, keypair.SerialOf(certs[0]), a.Action.Certificate)}
}

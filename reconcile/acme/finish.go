package acme

import (
	"context"
	"crypto/x509"
	"fmt"
	"strconv"
	"time"

	"github.com/go-acme/lego/v4/acme"
	"github.com/go-acme/lego/v4/acme/api"

	"certroll/reconcile/acme/ca"
	"certroll/reconcile/acme/problem"
	"certroll/reconcile/acme/publish"
	"certroll/reconcile/acme/session"
	"certroll/reconcile/acme/solver"
	"certroll/reconcile/ledger"
	"certroll/spec"
	"certroll/spec/text"
)

// Finish completes an order from any state. It returns the chain as PEM, leaf first, and
// the name of the DNS account that worked (empty if no authorization was open). passed
// holds the failure of each DNS account that was skipped, once each, even if a later
// account worked; it leaves out the account that err is about. csr is the DER of the
// certificate request that finalizes the order. Calling Finish on a valid order
// downloads its certificate again. Finish never creates an order: if the error's
// OrderGone is true, the caller needs a new one.
//
// Finish calls report at each long step: account, dns, http, tls, turn, validate, finalize,
// download, chain, cleanup. It makes these calls one at a time. report may be nil.
//
//	pending ──solve──▶ ready ──finalize──▶ processing ──wait──▶ valid ──▶ download
//	   └────────────────┴───────── invalid, unknown, expired: gone
func (c *Client) Finish(ctx context.Context, issuer *spec.Issuer, orderURL string, csr []byte,
	accounts []*spec.DNSAccount, report func(step, detail string)) (chain []byte, account string, passed []error, err error) {
	s, err := c.accounts.Session(ctx, issuer)
	if err != nil {
		return nil, "", nil, c.struck(err)
	}
	f := &finish{client: c, session: s, issuer: issuer, url: orderURL, csr: csr, report: publish.OneAtATime(report), doing: "finishing the order " + orderURL}
	f.job = &solver.Job{Solver: c.solver, Session: s, Issuer: issuer, Order: orderURL, CSR: csr, Accounts: accounts, Report: f.report, Doing: f.doing}
	chain, err = f.run(ctx)
	return chain, f.job.Account, problem.StrikeAll(c.redact, f.job.PassedBefore(err)), c.struck(err)
}

// finish is the state of one call of Finish.
type finish struct {
	client  *Client
	session *session.Session
	job     *solver.Job
	issuer  *spec.Issuer
	url     string
	csr     []byte
	report  func(step, detail string)
	doing   string

	solved    *ca.Watch // set when this call validated all authorizations
	finalized *ca.Watch // set when this call finalized the order
}

// run polls the order and takes the next step, until it has the chain.
func (f *finish) run(ctx context.Context) ([]byte, error) {
	for {
		order, seen, err := f.order(ctx)
		if err != nil {
			return nil, err
		}
		switch order.Status {
		case acme.StatusPending:
			err = f.pending(ctx, order, seen)
		case acme.StatusReady:
			err = f.ready(ctx, order, seen)
		case acme.StatusProcessing:
			err = f.processing(ctx, seen)
		case acme.StatusValid:
			return f.download(ctx, order)
		case acme.StatusInvalid:
			return nil, f.invalid(ctx, order)
		default:
			err = &problem.Error{OfClass: ledger.ClassCAUnavailable, Doing: f.doing, Said: "the order has the status " + strconv.Quote(order.Status) + ", which RFC 8555 does not know"}
		}
		if err != nil {
			return nil, err
		}
	}
}

// names returns the number of names in the certificate request; the order has the same.
func (f *finish) names() int {
	req, err := x509.ParseCertificateRequest(f.csr)
	if err != nil {
		return 0 // certroll made the request; finalizing would fail as well
	}
	return len(req.DNSNames) + len(req.IPAddresses)
}

// order fetches the order.
func (f *finish) order(ctx context.Context) (order acme.ExtendedOrder, seen ca.Answer, err error) {
	if why := unfitURL(f.url); why != "" { // stored by an earlier version
		return order, seen, &problem.Error{OfClass: ledger.ClassCARejected, Doing: f.doing, Gone: true, Said: "its URL " + why, Advice: "certroll needs a new order"}
	}
	seen, err = f.session.Call(ctx, f.doing, func(core *api.Core) error {
		var err error
		order, err = core.Orders.Get(f.url)
		return err
	})
	if err == nil {
		return order, seen, f.expired(order)
	}
	// The caller gets OrderGone and makes a new order; without it, the stored URL would
	// fail forever.
	if solver.IsLost(err, seen) {
		return order, seen, goneError(err, "the order cannot be had any more: a new one is needed")
	}
	return order, seen, err
}

// expired rejects an order that a CA still shows after its expiry, since it can no
// longer lead to a certificate. A valid order already has its certificate; an invalid
// one carries a more precise error.
func (f *finish) expired(order acme.ExtendedOrder) error {
	expires, err := time.Parse(time.RFC3339, order.Expires)
	ended := order.Status == acme.StatusValid || order.Status == acme.StatusInvalid
	if err != nil || ended || f.client.now().Before(expires) {
		return nil //nolint:nilerr // an order without a readable expiry does not expire
	}
	return &problem.Error{OfClass: ledger.ClassCARejected, Doing: f.doing, Gone: true,
		Said: "the order expired at " + expires.UTC().Format(time.RFC3339) + " while " + problem.ClipTo(20, text.Line(order.Status)), Advice: "certroll needs a new order"}
}

// goneError marks err as the end of its order.
func goneError(err error, advice string) error {
	e := *problem.AsError("finishing an order", err)
	e.Gone, e.Advice = true, advice
	return &e
}

// pending validates the open authorizations. After that the CA may need a moment to set
// the order to ready.
func (f *finish) pending(ctx context.Context, order acme.ExtendedOrder, seen ca.Answer) error {
	if f.solved != nil {
		return f.solved.Wait(ctx, f.doing, "still calls the order pending though all its names are validated", seen)
	}
	if err := f.authorizationsFit(order); err != nil {
		return err
	}
	if err := f.job.Solve(ctx, order.Authorizations); err != nil {
		return err
	}
	f.solved = ca.NewWatch(f.client.now, f.client.opts.ValidationTimeout)
	return nil
}

// ready finalizes the order. It trusts a rejection only if the order is still ready
// afterwards. The CA may answer orderNotReady because its last validation is not yet
// visible everywhere, or an earlier run of certroll may have finalized the order
// already.
func (f *finish) ready(ctx context.Context, order acme.ExtendedOrder, seen ca.Answer) error {
	if f.finalized != nil {
		return f.finalized.Wait(ctx, f.doing, "still calls the order ready though it was finalized", seen)
	}
	f.report("finalize", "sending the certificate request to the CA")
	seen, err := f.session.Call(ctx, f.doing, func(core *api.Core) error {
		_, err := core.Orders.UpdateForCSR(order.Finalize, f.csr)
		return err
	})
	switch {
	case err == nil:
		f.finalized = ca.NewWatch(f.client.now, f.client.opts.FinalizeTimeout)
		return nil
	case problem.Is(err, "orderNotReady"):
		return f.notReady(ctx, seen)
	case problem.Is(err, "badCSR"):
		// The request belongs to this order; sending it again gets the same answer.
		return goneError(err, problem.AdviceOn("badCSR"))
	case problem.Is(err, "badPublicKey"):
		e := *problem.AsError("finishing an order", err)
		e.Gone, e.KeyRefused = true, true
		return &e
	}
	return f.refused(ctx, err, seen)
}

// notReady waits after orderNotReady for an order whose status is ready. The watch
// bounds this contradiction, including for a run that validated nothing itself.
func (f *finish) notReady(ctx context.Context, seen ca.Answer) error {
	if f.solved == nil {
		f.solved = ca.NewWatch(f.client.now, f.client.opts.ValidationTimeout)
	}
	return f.solved.Wait(ctx, f.doing, "still answers orderNotReady to an order that it calls ready", seen)
}

// refused fetches the order again after finalizing failed. It returns nil if the order
// has moved on, so that run handles the new state. It makes no request if the CA did not
// answer or asked for a pause.
func (f *finish) refused(ctx context.Context, refusal error, seen ca.Answer) error {
	if ctx.Err() != nil || seen.Status == 0 || problem.IsPassing(refusal) {
		return refusal
	}
	order, _, err := f.order(ctx)
	if err != nil || order.Status == acme.StatusReady {
		return refusal
	}
	return nil
}

// processing waits until the CA has issued. After the limit the attempt ends with an
// error that keeps the order, and the next attempt continues it.
func (f *finish) processing(ctx context.Context, seen ca.Answer) error {
	if f.finalized == nil {
		f.finalized = ca.NewWatch(f.client.now, f.client.opts.FinalizeTimeout)
		f.report("finalize", "waiting for the CA to issue")
	}
	err := f.finalized.Wait(ctx, f.doing, "has not issued the certificate", seen)
	if err == nil || ctx.Err() != nil {
		return err
	}
	// The CA is issuing: its Retry-After may postpone the next attempt here.
	e := *problem.AsError(f.doing, err)
	e.InProgress = true
	if asked, ok := problem.RetryAfter(seen.RetryAfter, f.client.now()); ok && asked > 0 {
		e.Retry = f.client.now().Add(min(asked, longestProcessing))
	}
	return &e
}

// longestProcessing bounds how far a Retry-After may postpone the next poll of an order
// in processing. ZeroSSL keeps orders in that state for long and sends Retry-After:
// 86400 on authorizations that are ready within minutes.
const longestProcessing = time.Hour

// invalid returns the reason why the order failed. It prefers the authorization's own
// problem, since the order's often says only that an authorization failed.
func (f *finish) invalid(ctx context.Context, order acme.ExtendedOrder) error {
	if err := f.authorizationsFit(order); err != nil {
		return err
	}
	for _, url := range order.Authorizations {
		authz, _, err := f.job.Authorization(ctx, url)
		if ctx.Err() != nil {
			return problem.Interrupted(ctx, f.doing)
		}
		if err != nil {
			continue // the CA has dropped this authorization; another may have the reason
		}
		if failure := solver.AuthorizationFailure(f.issuer, authz); failure != nil {
			return failure
		}
	}
	if order.Error == nil {
		return &problem.Error{OfClass: ledger.ClassCARejected, Doing: f.doing, Said: "the order is invalid, and the CA gave no reason", Gone: true, Advice: "certroll needs a new order"}
	}
	class, advice := problem.OrderClass(order.Error)
	return &problem.Error{OfClass: class, Doing: f.doing, Said: "the order is invalid: " + problem.Words(order.Error), Advice: advice, Gone: true, Cause: order.Error,
		Retry: problem.RetryAt("", order.Error.Detail, f.client.now())}
}

// authorizationsFit rejects an order with more authorizations than names, or with the
// same one twice. RFC 8555 section 7.1.3 has one for each identifier. The check comes
// before the first fetch: otherwise a CA could keep certroll fetching for days.
func (f *finish) authorizationsFit(order acme.ExtendedOrder) error {
	seen := make(map[string]bool, len(order.Authorizations))
	for _, url := range order.Authorizations {
		seen[url] = true
	}
	names := f.names()
	if n := len(order.Authorizations); n <= names && len(seen) == n {
		return nil
	}
	return &problem.Error{OfClass: ledger.ClassCARejected, Doing: f.doing, Gone: true,
		Said:   fmt.Sprintf("the CA lists %d authorizations, %d of them different, for an order of %d names; none was fetched", len(order.Authorizations), len(seen), names),
		Advice: "an order has one authorization for each name (RFC 8555 section 7.1.3): report it to the CA, or use another issuer"}
}

package acme

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"certroll/spec"

	"github.com/go-acme/lego/v4/acme"
	"github.com/go-acme/lego/v4/acme/api"
)

// Finish brings an order to its end, whatever state it is in, and returns the
// chain as PEM, leaf first, and the name of the DNS account that worked (empty
// where no authorization was open any more). passed are the failures of the
// DNS accounts that were passed over, each once, also where another one then
// worked; the account that the error speaks of is not among them. csr is the DER of the request
// that the order is finalized with; finishing a valid order again downloads
// its certificate again. Finish never makes an order: an error whose
// OrderGone is true says that another one is needed.
//
// report is told of each long step: account, dns, http, tls, validate,
// finalize, download, chain, cleanup. It is called by one goroutine at a time
// and may be nil.
//
//	pending ──solve──▶ ready ──finalize──▶ processing ──wait──▶ valid ──▶ download
//	   └────────────────┴───────── invalid, unknown, expired: gone
func (c *Client) Finish(ctx context.Context, issuer *spec.Issuer, orderURL string, csr []byte,
	accounts []*spec.DNSAccount, report func(step, detail string)) (chain []byte, account string, passed []error, err error) {
	s, err := c.session(ctx, issuer)
	if err != nil {
		return nil, "", nil, err
	}
	f := &finish{
		client: c, session: s, issuer: issuer, url: orderURL, csr: csr, accounts: accounts, report: oneAtATime(report),
		doing: "finishing the order " + orderURL,
	}
	chain, err = f.run(ctx)
	return chain, f.account, f.passedBefore(err), err
}

// passedBefore are the failures of the accounts that err does not speak of.
func (f *finish) passedBefore(err error) []error {
	var passed []error
	for _, why := range f.passed {
		if e := (*Error)(nil); !errors.As(err, &e) || e.account != why.account {
			passed = append(passed, why)
		}
	}
	return passed
}

// oneAtATime makes a report function safe for the names of an order, which
// are solved side by side.
func oneAtATime(report func(step, detail string)) func(step, detail string) {
	if report == nil {
		return func(string, string) {}
	}
	var mu sync.Mutex
	return func(step, detail string) {
		mu.Lock()
		defer mu.Unlock()
		report(step, detail)
	}
}

// finish is one run of Finish.
type finish struct {
	client   *Client
	session  *session
	issuer   *spec.Issuer
	url      string
	csr      []byte
	accounts []*spec.DNSAccount
	report   func(step, detail string)
	doing    string

	account   string   // the DNS account that worked
	passed    []*Error // of accounts that could not publish, each once
	solved    *watch   // set when all authorizations were solved by us
	finalized *watch   // set when the order was finalized
}

// run looks at the order and does the one next thing, until there is a chain.
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
			err = &Error{class: ClassCAUnavailable, doing: f.doing, said: "the order has the status " + strconv.Quote(order.Status) + ", which RFC 8555 does not know"}
		}
		if err != nil {
			return nil, err
		}
	}
}

// order gets the order.
func (f *finish) order(ctx context.Context) (order acme.ExtendedOrder, seen answer, err error) {
	seen, err = f.session.call(ctx, f.doing, func(core *api.Core) error {
		var err error
		order, err = core.Orders.Get(f.url)
		return err
	})
	if err == nil {
		return order, seen, f.expired(order)
	}
	if isLost(err, seen) {
		return order, seen, goneError(err, "the order cannot be had any more: a new one is needed")
	}
	return order, seen, err
}

// isLost reports whether an order that could not be had never will be: CAs
// forget orders soon after they expire, and show nobody an order of another
// account. A 403 counts only where the CA itself says why: a firewall's page
// is no verdict on the order.
func isLost(err error, seen answer) bool {
	return seen.status == http.StatusNotFound || seen.status == http.StatusGone || isProblem(err, "malformed", "unauthorized")
}

// expired catches the CA that still shows an order whose time is over.
func (f *finish) expired(order acme.ExtendedOrder) error {
	expires, err := time.Parse(time.RFC3339, order.Expires)
	open := order.Status == acme.StatusPending || order.Status == acme.StatusReady
	if err != nil || !open || f.client.now().Before(expires) {
		return nil //nolint:nilerr // an order without a readable end has none
	}
	return &Error{class: ClassRejected, doing: f.doing, gone: true,
		said: "the order expired at " + expires.UTC().Format(time.RFC3339) + " while " + order.Status, advice: "a new one is needed"}
}

// goneError marks an error as the end of its order.
func goneError(err error, advice string) error {
	e := *asError("finishing an order", err)
	e.gone, e.advice = true, advice
	return &e
}

// pending solves the open authorizations; once that is done the CA may need a
// moment until it calls the order ready.
func (f *finish) pending(ctx context.Context, order acme.ExtendedOrder, seen answer) error {
	if f.solved != nil {
		return f.solved.wait(ctx, f.doing, "still calls the order pending though all its names are validated", seen)
	}
	if err := f.solve(ctx, order.Authorizations); err != nil {
		return err
	}
	f.solved = f.client.newWatch(f.client.opts.ValidationTimeout)
	return nil
}

// ready finalizes the order. A refusal is believed only where the order is
// still ready after it: the CA may have been slower with our last validation
// than with saying ready (orderNotReady), or an earlier run of ours faster
// with the finalizing.
func (f *finish) ready(ctx context.Context, order acme.ExtendedOrder, seen answer) error {
	if f.finalized != nil {
		return f.finalized.wait(ctx, f.doing, "still calls the order ready though it was finalized", seen)
	}
	f.report("finalize", "sending the certificate request to the CA")
	seen, err := f.session.call(ctx, f.doing, func(core *api.Core) error {
		_, err := core.Orders.UpdateForCSR(order.Finalize, f.csr)
		return err
	})
	switch {
	case err == nil:
		f.finalized = f.client.newWatch(f.client.opts.FinalizeTimeout)
		return nil
	case isProblem(err, "orderNotReady"):
		return f.notReady(ctx, seen)
	case isProblem(err, "badCSR", "badPublicKey"):
		// The request is part of this order's attempt and will be no better
		// the next time.
		return goneError(err, rejections["badCSR"].advice)
	}
	return f.refused(ctx, err, seen)
}

func (f *finish) notReady(ctx context.Context, seen answer) error {
	if f.solved == nil {
		f.solved = f.client.newWatch(f.client.opts.ValidationTimeout)
	}
	return f.solved.wait(ctx, f.doing, "still answers orderNotReady to an order that it calls ready", seen)
}

// refused looks at the order again after finalizing failed: nil where it has
// gone on all the same, so that run deals with the state it is in now. A CA
// that did not answer, or wants to be left alone, is not asked.
func (f *finish) refused(ctx context.Context, refusal error, seen answer) error {
	if ctx.Err() != nil || seen.status == 0 || isPassing(refusal) {
		return refusal
	}
	order, _, err := f.order(ctx)
	if err != nil || order.Status == acme.StatusReady {
		return refusal
	}
	return nil
}

// isPassing reports whether err is a trouble of the CA or of the way to it,
// and no verdict.
func isPassing(err error) bool {
	return hasClass(err, ClassCAUnavailable) || hasClass(err, ClassRateLimited)
}

func (f *finish) processing(ctx context.Context, seen answer) error {
	if f.finalized == nil {
		f.finalized = f.client.newWatch(f.client.opts.FinalizeTimeout)
		f.report("finalize", "waiting for the CA to issue")
	}
	return f.finalized.wait(ctx, f.doing, "has not issued the certificate", seen)
}

// invalid tells why the order failed: the authorization's own problem where
// there is one, since the order's says at most that there was one.
func (f *finish) invalid(ctx context.Context, order acme.ExtendedOrder) error {
	for _, url := range order.Authorizations {
		authz, _, err := f.authorization(ctx, url)
		if ctx.Err() != nil {
			return interrupted(ctx, f.doing)
		}
		if err != nil {
			continue // an authorization the CA has dropped can say nothing more
		}
		if failure := authorizationFailure(f.issuer, authz); failure != nil {
			return failure
		}
	}
	if order.Error == nil {
		return &Error{class: ClassRejected, doing: f.doing, said: "the order is invalid and the CA does not say why", gone: true, advice: "a new one is needed"}
	}
	class, advice := orderClass(order.Error)
	return &Error{class: class, doing: f.doing, said: "the order is invalid: " + words(order.Error), advice: advice, gone: true, cause: order.Error,
		retry: f.client.retryAt("", order.Error.Detail)}
}

func (f *finish) authorization(ctx context.Context, url string) (authz acme.Authorization, seen answer, err error) {
	seen, err = f.session.call(ctx, "reading the authorization "+url, func(core *api.Core) error {
		var err error
		authz, err = core.Authorizations.Get(url)
		return err
	})
	return authz, seen, err
}

// authorizationFailure is the problem of an authorization that cannot become
// valid any more; nil while it can, or is.
func authorizationFailure(issuer *spec.Issuer, authz acme.Authorization) *Error {
	if authz.Status == acme.StatusPending || authz.Status == acme.StatusValid {
		return nil
	}
	doing := "validating " + displayName(authz) + " at " + issuer.Directory
	for _, ch := range authz.Challenges {
		if ch.Error == nil {
			continue
		}
		class, advice := validationClass(ch.Error)
		return &Error{class: class, doing: doing, advice: advice, gone: true, cause: ch.Error, names: []string{displayName(authz)},
			said: "the CA's " + ch.Type + " check failed with " + words(ch.Error)}
	}
	if authz.Status == acme.StatusInvalid {
		return &Error{class: ClassValidation, doing: doing, gone: true, names: []string{displayName(authz)}, said: "the authorization is invalid and the CA does not say why", advice: "a new order is needed"}
	}
	return &Error{class: ClassRejected, doing: doing, gone: true, said: "the authorization is " + authz.Status, advice: "a new order is needed"}
}

// displayName is the identifier as the certificate will have it.
func displayName(authz acme.Authorization) string {
	if authz.Wildcard {
		return "*." + authz.Identifier.Value
	}
	return authz.Identifier.Value
}

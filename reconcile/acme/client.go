package acme

import (
	"context"
	"errors"
	"io"
	stdlog "log"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/go-acme/lego/v4/log"

	"certroll/reconcile/acme/ca"
	"certroll/reconcile/acme/dnsprovider"
	"certroll/reconcile/acme/examine"
	"certroll/reconcile/acme/problem"
	"certroll/reconcile/acme/publish"
	"certroll/reconcile/acme/session"
	"certroll/reconcile/acme/solver"
	"certroll/spec"
	"certroll/spec/credential"
	"certroll/spec/redact"
)

// Options are the settings of a Client. The zero value is good.
type Options struct {
	UserAgent string // "certroll" unless set
	// Resolve follows a reference to a secret. Without it only literals can
	// be used.
	Resolve func(ctx context.Context, v spec.Value) (string, error)
	// Redact learns each secret that Resolve returns, and strikes it from every
	// error; nil: one of the Client's own.
	Redact *redact.Redactor
	// Child is the command of the DNS child; the installed certroll-dns unless set.
	Child  []string
	Logger *slog.Logger
	Now    func() time.Time
	// Transport wraps the HTTP transport of each issuer.
	Transport func(http.RoundTripper) http.RoundTripper

	RequestTimeout    time.Duration // one HTTP request to the CA; 30 s
	ValidationTimeout time.Duration // the CA's decision on one name, from our asking on; 5 min
	FinalizeTimeout   time.Duration // from the finalized order to the certificate; 15 min
	ProviderTimeout   time.Duration // one call to a DNS provider; 3 min
	CleanupTimeout    time.Duration // removing one record; 1 min
	ChildIdle         time.Duration // how long an unused DNS child is kept; 30 s
	// PresentRetry are the waits before the second and later tries of a
	// provider or a name server that is unavailable; 20 s and 90 s, so that what passes within minutes is waited for.
	PresentRetry []time.Duration
	// RecordCache is the longest that resolvers of the CA keep a TXT record,
	// whatever its TTL; 60 s, which is Let's Encrypt's. Negative: not at all.
	RecordCache time.Duration
	// Names is how many names of one order are solved side by side; 100, the
	// most that public CAs put into one certificate.
	Names int
}

func (o Options) withDefaults() Options {
	o.UserAgent = orDefault(o.UserAgent, "certroll")
	o.RequestTimeout = orDefault(o.RequestTimeout, 30*time.Second)
	o.ValidationTimeout = orDefault(o.ValidationTimeout, 5*time.Minute)
	o.FinalizeTimeout = orDefault(o.FinalizeTimeout, 15*time.Minute)
	o.ProviderTimeout = orDefault(o.ProviderTimeout, 3*time.Minute)
	o.CleanupTimeout = orDefault(o.CleanupTimeout, time.Minute)
	o.ChildIdle = orDefault(o.ChildIdle, 30*time.Second)
	o.RecordCache = orDefault(o.RecordCache, time.Minute)
	o.Names = orDefault(o.Names, 100)
	if o.PresentRetry == nil {
		o.PresentRetry = []time.Duration{20 * time.Second, 90 * time.Second}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Redact == nil {
		o.Redact = redact.New()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

func orDefault[T comparable](v, fallback T) T {
	var zero T
	if v == zero {
		return fallback
	}
	return v
}

// Client orders, finishes and revokes certificates at the CAs of a spec's
// issuers. It is safe for concurrent use.
type Client struct {
	*examine.Examiner
	opts      Options
	log       *slog.Logger
	redact    *redact.Redactor
	cas       *ca.Set
	accounts  *session.Accounts
	providers *dnsprovider.Pool
	publisher *publish.Publisher
	solver    *solver.Solver
}

// silence takes lego's process-wide logger away from standard error: what it
// says is in our errors, reports and debug log.
var silence sync.Once

// New makes a Client that keeps its accounts in the store.
func New(store session.Store, o Options) *Client {
	silence.Do(func() { log.Logger = stdlog.New(io.Discard, "", 0) })
	o = o.withDefaults()
	c := &Client{opts: o, log: o.Logger, redact: o.Redact}
	c.cas = ca.New(ca.Options{UserAgent: o.UserAgent, Timeout: o.RequestTimeout, Now: o.Now, Logger: o.Logger, Wrap: o.Transport})
	c.accounts = session.New(store, c.cas, session.Options{UserAgent: o.UserAgent, Now: o.Now, Logger: o.Logger, Credential: c.credential})
	c.providers = dnsprovider.NewPool(dnsprovider.Options{Command: o.Child, Timeout: o.ProviderTimeout, Idle: o.ChildIdle, Logger: o.Logger, Credential: c.credential})
	c.publisher = publish.New(c.providers, publish.Options{Now: o.Now, Cleanup: o.CleanupTimeout, Retry: o.PresentRetry, RecordCache: o.RecordCache})
	c.solver = solver.New(c.publisher, solver.Options{Now: o.Now, ValidationTimeout: o.ValidationTimeout, Names: o.Names})
	c.Examiner = examine.New(c.cas, c.accounts, c.publisher, c.redact)
	return c
}

// Close ends the DNS children and drops the connections. Calls must have
// ended before: a call under way fails.
func (c *Client) Close() error {
	err := c.providers.Close()
	c.cas.Close()
	c.accounts.Close()
	return err
}

func (c *Client) now() time.Time { return c.opts.Now() }

// struck is err without the secrets that the Client has resolved.
func (c *Client) struck(err error) error { return problem.Strike(c.redact, err) }

// resolve follows a reference.
func (c *Client) resolve(ctx context.Context, v spec.Value) (string, error) {
	switch {
	case v.Source == spec.Literal:
		return v.Text, nil
	case c.opts.Resolve == nil:
		return "", errors.New("no way to follow a reference was set up")
	}
	text, err := c.opts.Resolve(ctx, v)
	c.redact.Learn(text)
	return text, err
}

// credential follows a reference to a credential, and refuses one that cannot
// work. A literal is the spec's matter.
func (c *Client) credential(ctx context.Context, v spec.Value, form credential.Form) (string, error) {
	text, err := c.resolve(ctx, v)
	if err != nil || v.Source == spec.Literal {
		return text, err
	}
	if err := credential.Check(v.Where(), text, form); err != nil {
		return "", &problem.MalformedError{Why: err}
	}
	return text, nil
}

// CheckAccount opens the issuer's account and asks the CA for it (POST-as-GET on
// the account's URL, RFC 8555 section 7.1.2). Where the CA does not take the
// account any more, Owner of the error is OwnerAccount.
func (c *Client) CheckAccount(ctx context.Context, issuer *spec.Issuer) error {
	return c.struck(c.accounts.Check(ctx, issuer))
}

// Date is the time by the clock of an issuer's CA, to the second, as the answer for
// its directory says; zero where it does not say.
func (c *Client) Date(ctx context.Context, issuer *spec.Issuer) (time.Time, error) {
	return c.cas.Date(ctx, issuer)
}

// RenewalInfo asks the CA when a certificate should be renewed (RFC 9773
// section 4.2): within [start, end), for the reason on the page explanation
// where there is one (an https URL of at most 1 KiB; others are dropped), and
// to be asked again at again. certID is base64url(AKI) "." base64url(serial).
//
// It needs no account and makes none. The window is as the CA said it, ordered
// and with both ends set; whether it is one to follow is the caller's to judge.
// A window in the past means: now.
//
// A CA without renewal information is an error that is errors.ErrUnsupported.
// Any other failure has a class and, where the CA named one, a time: a 404 is
// ca_rejected (the CA does not know the certificate), 429 and 503 with
// Retry-After rate_limited, a network's failure, another 5xx and an answer that
// cannot be followed ca_unavailable.
func (c *Client) RenewalInfo(ctx context.Context, issuer *spec.Issuer, certID string) (start, end time.Time, explanation string, again time.Time, err error) {
	start, end, explanation, again, err = c.cas.RenewalInfo(ctx, issuer, certID)
	return start, end, explanation, again, c.struck(err)
}

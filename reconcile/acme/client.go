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

// Options are the settings of a Client. The zero value is usable; the comments give each
// field's default.
type Options struct {
	UserAgent string // "certroll" unless set
	// Resolve reads a reference to a secret. If nil, only literals work.
	Resolve func(ctx context.Context, v spec.Value) (string, error)
	// Redact learns each secret that Resolve returns and removes it from every error. If
	// nil, the Client makes its own.
	Redact *redact.Redactor
	// Child is the command line of the DNS child; default: the installed certroll-dns.
	Child  []string
	Logger *slog.Logger
	Now    func() time.Time
	// Transport wraps the HTTP transport of each issuer.
	Transport func(http.RoundTripper) http.RoundTripper

	RequestTimeout    time.Duration // one HTTP request to the CA; 30 s
	ValidationTimeout time.Duration // the CA's decision on one name, counted from the request to validate; 5 min
	FinalizeTimeout   time.Duration // from the finalized order to the certificate; 15 min
	ProviderTimeout   time.Duration // one call to a DNS provider; 3 min
	CleanupTimeout    time.Duration // removing one record; 1 min
	ChildIdle         time.Duration // idle time after which a DNS child is stopped; 30 s
	// PresentRetry are the waits before each further try with a provider or name server
	// that is unavailable; 20 s and 90 s, long enough to outlast a short outage.
	PresentRetry []time.Duration
	// RecordCache is the longest time for which the CA's resolvers cache a TXT record,
	// whatever its TTL; 60 s, as Let's Encrypt's resolvers do. Negative: no caching.
	RecordCache time.Duration
	// Names bounds the names of one order that are validated concurrently; 100, the
	// largest certificate that public CAs issue.
	Names int
}

func (o Options) withDefaults() Options {
	o.UserAgent = orDefault(o.UserAgent, "certroll")
	o.RequestTimeout = orDefault(o.RequestTimeout, 30*time.Second)
	o.ValidationTimeout = orDefault(o.ValidationTimeout, 5*time.Minute)
	// Generous: ZeroSSL keeps orders in processing for long.
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

// Client orders, finishes and revokes certificates at the CAs of a spec's issuers. It is
// safe for concurrent use.
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

// silence guards the redirection of lego's process-wide logger away from standard error.
// certroll's errors, reports and debug log already contain what lego logs.
var silence sync.Once

// New makes a Client that stores its ACME accounts in store.
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

// Close stops the DNS children and closes the connections. A call still in progress
// fails.
func (c *Client) Close() error {
	err := c.providers.Close()
	c.cas.Close()
	c.accounts.Close()
	return err
}

func (c *Client) now() time.Time { return c.opts.Now() }

// struck returns err without the secrets that the Client has resolved.
func (c *Client) struck(err error) error { return problem.Strike(c.redact, err) }

// resolve returns the text of a literal or reads the reference.
func (c *Client) resolve(ctx context.Context, v spec.Value) (string, error) {
	switch {
	case v.Source == spec.Literal:
		return v.Text, nil
	case c.opts.Resolve == nil:
		return "", errors.New("no way to follow a reference was set up")
	}
	text, err := c.opts.Resolve(ctx, v)
	// Before any use of the value: an error may quote it.
	c.redact.Learn(text)
	return text, err
}

// credential reads a reference to a credential and rejects a malformed value, before it
// is sent anywhere. The spec's decoder has already checked literals.
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

// CheckAccount opens the issuer's account and fetches it from the CA (POST-as-GET on the
// account's URL, RFC 8555 section 7.1.2). If the CA no longer accepts the account, the
// error's Owner is ledger.OwnerAccount.
func (c *Client) CheckAccount(ctx context.Context, issuer *spec.Issuer) error {
	return c.struck(c.accounts.Check(ctx, issuer))
}

// Date returns the time of the CA's clock, to the second, from the Date header of the
// directory's answer; zero if the header is missing or malformed.
func (c *Client) Date(ctx context.Context, issuer *spec.Issuer) (time.Time, error) {
	return c.cas.Date(ctx, issuer)
}

// RenewalInfo fetches a certificate's renewal information (RFC 9773 section 4.2): the
// suggested window [start, end), the explanation URL and the time of the next query.
// explanation is an https URL of at most 1 KiB; any other is dropped. certID is
// base64url(AKI) "." base64url(serial).
//
// RenewalInfo needs no ACME account and creates none. It returns the CA's window with
// both ends set and in order; the caller judges whether to follow it. A window in the
// past means: renew now (RFC 9773 section 4.2).
//
// If the CA has no renewal information, the error matches errors.ErrUnsupported. Other
// errors have a class, and a retry time if the CA named one: 404 (an unknown
// certificate) is ca_rejected; 429, and 503 with Retry-After, are rate_limited; network
// errors, other 5xx and malformed answers are ca_unavailable.
func (c *Client) RenewalInfo(ctx context.Context, issuer *spec.Issuer, certID string) (start, end time.Time, explanation string, again time.Time, err error) {
	start, end, explanation, again, err = c.cas.RenewalInfo(ctx, issuer, certID)
	return start, end, explanation, again, c.struck(err)
}

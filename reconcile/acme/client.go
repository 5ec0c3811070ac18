package acme

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	stdlog "log"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"certroll/spec"
	"certroll/spec/credential"
	"certroll/spec/redact"

	"github.com/go-acme/lego/v4/log"
)

// AccountStore keeps the documents of ACME accounts, private keys included.
type AccountStore interface {
	// Load returns the document; an error that is fs.ErrNotExist where there
	// is none.
	Load(ctx context.Context, id string) (map[string]string, error)
	// Create stores the document only if there is none under this id, and
	// returns the one that is stored then: data, or what was there before.
	Create(ctx context.Context, id string, data map[string]string) (stored map[string]string, err error)
	// Update replaces the document.
	Update(ctx context.Context, id string, data map[string]string) error
}

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
	accounts AccountStore
	opts     Options
	log      *slog.Logger
	redact   *redact.Redactor

	mu        sync.Mutex
	sessions  map[string]*opening  // by issuer's fingerprint
	upstreams map[string]*upstream // by directory and CA bundle

	names    *names
	children *children
	servers  *servers
	webroots *webroots
}

// opening is a session, or the one attempt under way to open it.
type opening struct {
	done    chan struct{} // closed when session or err is set
	session *session
	err     error
}

// silence takes lego's process-wide logger away from standard error: what it
// says is in our errors, reports and debug log.
var silence sync.Once

// New makes a Client that keeps its accounts in the store.
func New(accounts AccountStore, o Options) *Client {
	silence.Do(func() { log.Logger = stdlog.New(io.Discard, "", 0) })
	c := &Client{accounts: accounts, opts: o.withDefaults(), sessions: map[string]*opening{}, upstreams: map[string]*upstream{}}
	c.log, c.redact = c.opts.Logger, c.opts.Redact
	c.names = newNames(c.now)
	c.children = newChildren(c)
	c.servers = newServers()
	c.webroots = newWebroots()
	return c
}

// Close ends the DNS children and drops the connections. Calls must have
// ended before: a call under way fails.
func (c *Client) Close() error {
	err := c.children.close()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, u := range c.upstreams {
		u.open.close()
	}
	c.upstreams = map[string]*upstream{}
	c.sessions = map[string]*opening{}
	return err
}

func (c *Client) now() time.Time { return c.opts.Now() }

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
		return "", &malformedError{err}
	}
	return text, nil
}

// malformedError says that a reference leads to what cannot be a credential.
type malformedError struct{ error }

// session returns the issuer's session, opening it where there is none. Calls
// that come while it is being opened share the attempt and its failure, so
// that a CA that is down is asked once and not once per certificate.
func (c *Client) session(ctx context.Context, issuer *spec.Issuer) (*session, error) {
	key := fingerprint(issuer)
	for {
		c.mu.Lock()
		o, ok := c.sessions[key]
		if !ok {
			o = &opening{done: make(chan struct{})}
			c.sessions[key] = o
		}
		c.mu.Unlock()
		if !ok {
			c.open(ctx, key, o, issuer)
			return o.session, o.err
		}
		select {
		case <-o.done:
		case <-ctx.Done():
			return nil, interrupted(ctx, "opening the account of issuer "+issuer.Name)
		}
		if o.err == nil || !isInterruption(o.err) {
			return o.session, o.err
		}
		// The one who opened was interrupted, which is no matter of ours.
	}
}

func (c *Client) open(ctx context.Context, key string, o *opening, issuer *spec.Issuer) {
	o.session, o.err = c.openAccount(ctx, issuer)
	if o.err != nil {
		o.session = nil
		c.mu.Lock()
		delete(c.sessions, key)
		c.mu.Unlock()
	}
	close(o.done)
}

func isInterruption(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) && hasClass(err, ClassInternal)
}

// fingerprint is equal for issuers that may share a session: all that is used
// to open the account, by reference where it is a secret.
func fingerprint(issuer *spec.Issuer) string {
	h := sha256.New()
	put := func(parts ...string) {
		for _, p := range parts {
			_, _ = io.WriteString(h, p+"\x00")
		}
	}
	put(issuer.Name, issuer.Directory, issuer.Account, issuer.Email, issuer.CABundle)
	if issuer.AgreeTOS {
		put("agreed")
	}
	if issuer.Reach.Anything {
		put("anything")
	}
	if issuer.EAB != nil {
		for _, v := range []spec.Value{issuer.EAB.KeyID, issuer.EAB.HMAC} {
			put(string(v.Source), v.Text, v.Path, v.Field, v.Name)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

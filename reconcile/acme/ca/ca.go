package ca

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"certroll/reconcile/acme/problem"
	"certroll/reconcile/ledger"
	"certroll/spec"
)

// CA is one CA for requests without an ACME account: connections and the directory (RFC
// 8555 section 7.1.1).
type CA struct {
	opts      Options
	Directory string
	transport http.RoundTripper
	open      *connections

	asking chan struct{} // one element per request in progress without an account

	dirTurn chan struct{} // held by the call that is fetching the directory
	dirBody []byte
	dirHead http.Header
	dirTime time.Time
}

// Set holds the CAs of the issuers.
type Set struct {
	opts Options
	mu   sync.Mutex
	open map[string]*CA // by directory and CA bundle
}

// Options are the settings of a Set. All are required except Wrap.
type Options struct {
	UserAgent string
	Timeout   time.Duration // of one request
	Now       func() time.Time
	Logger    *slog.Logger
	// Wrap wraps the HTTP transport of each CA.
	Wrap func(http.RoundTripper) http.RoundTripper
}

// New makes a Set that has no connection yet.
func New(o Options) *Set { return &Set{opts: o, open: map[string]*CA{}} }

// Close closes the connections.
func (c *Set) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, u := range c.open {
		u.open.close()
	}
	c.open = map[string]*CA{}
}

const (
	// RequestsAtOnce bounds the concurrent requests of one account, and those of one CA
	// without an account. It also bounds the lanes of a session: each new lane needs a
	// nonce, and Let's Encrypt issues ten at once. Only the short requests count, not
	// the long waits between them.
	RequestsAtOnce = 10
)

// directoryAge is how long a directory stays cached.
const directoryAge = time.Hour

// Of returns the issuer's CA. Issuers with the same directory and CA bundle share it,
// whatever their accounts.
func (c *Set) Of(issuer *spec.Issuer) (*CA, error) {
	if len(issuer.Held) > 0 {
		return nil, problem.Held("asking the CA of issuer "+issuer.Name, issuer.Held)
	}
	// A different bundle means a different trust: such issuers must not share
	// connections.
	key := issuer.Directory + "\x00" + issuer.CABundle
	if issuer.Reach.Anything {
		key += "\x00anything" // only certroll.hcl may reach any address: its connections must not serve a block of the config repo
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if u := c.open[key]; u != nil {
		return u, nil
	}
	transport, open, err := newTransport(issuer, c.opts.Wrap)
	if err != nil {
		return nil, err
	}
	u := &CA{
		opts: c.opts, Directory: issuer.Directory, transport: transport, open: open,
		asking: make(chan struct{}, RequestsAtOnce), dirTurn: make(chan struct{}, 1),
	}
	c.open[key] = u
	return u, nil
}

// fetch answers requests for the directory from the cache and sends all others to the
// CA. It reads at most most bytes of an answer.
func (u *CA) fetch(req *http.Request, most int64) (*http.Response, error) {
	if req.Method == http.MethodGet && req.URL.String() == u.Directory {
		return u.cachedDirectory(req)
	}
	resp, err := u.transport.RoundTrip(req)
	return readWhole(resp, err, most)
}

// cachedDirectory answers a request for the directory from the shared copy. It fetches
// the directory if the copy is missing or old.
func (u *CA) cachedDirectory(req *http.Request) (*http.Response, error) {
	select {
	case u.dirTurn <- struct{}{}:
		defer func() { <-u.dirTurn }()
	case <-req.Context().Done():
		return nil, req.Context().Err()
	}
	if u.dirBody != nil && u.opts.Now().Sub(u.dirTime) < directoryAge {
		return u.directoryAnswer(req), nil
	}
	resp, err := u.transport.RoundTrip(req)
	resp, err = readWhole(resp, err, MaxAnswer)
	if err != nil || resp.StatusCode != http.StatusOK {
		return resp, err
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("reading the directory: %w", err)
	}
	// Only a 200 is cached: an outage must not last an hour longer.
	u.dirBody, u.dirHead, u.dirTime = body, resp.Header, u.opts.Now()
	return u.directoryAnswer(req), nil
}

// directoryAnswer returns a fresh response with the cached directory: lego reads and
// closes each body.
func (u *CA) directoryAnswer(req *http.Request) *http.Response {
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: u.dirHead.Clone(), Body: io.NopCloser(bytes.NewReader(u.dirBody)),
		ContentLength: int64(len(u.dirBody)), Request: req,
	}
}

// bounded is the RoundTripper for requests without an account.
type bounded struct {
	*CA
	most int64
}

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) { return b.fetch(req, b.most) }

// RoundTrip sends one of lego's requests for a call. lego's API takes no context, so the
// call's context enters here. RoundTrip reads the whole body, within the limits of time
// and size, before lego sees it: lego leaves some bodies open, and with them the
// connection.
func (u *CA) RoundTrip(call context.Context, req *http.Request) (*http.Response, Answer, error) {
	ctx, cancel := context.WithTimeout(call, u.opts.Timeout)
	defer cancel()
	seen := Answer{url: req.URL.String(), Request: req}
	resp, err := u.fetch(req.WithContext(ctx), MaxAnswer)
	if err != nil {
		seen.err = explainTimeout(call, err, u.opts.Timeout)
		return nil, seen, seen.err
	}
	seen.Status, seen.RetryAfter = resp.StatusCode, resp.Header.Get("Retry-After")
	u.opts.Logger.Debug("acme request", "method", req.Method, "url", seen.url, "status", resp.StatusCode)
	return resp, seen, nil
}

// get fetches a URL without an account. Any status other than 200 is an error, in the
// same form as for requests with an account.
func (u *CA) get(ctx context.Context, doing, url string, most int64) (body []byte, seen Answer, err error) {
	select {
	case u.asking <- struct{}{}:
		defer func() { <-u.asking }()
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		return nil, seen, problem.Interrupted(ctx, doing)
	}
	body, seen, err = u.getOnce(ctx, url, most)
	if err != nil {
		return nil, seen, Explain(ctx, doing, err, seen, u.opts.Now())
	}
	return body, seen, nil
}

// getOnce makes one GET request within the timeout. An interrupted call keeps its own
// error, so that explainTimeout can tell the caller's deadline from ours.
func (u *CA) getOnce(call context.Context, url string, most int64) (body []byte, seen Answer, err error) {
	limit := u.opts.Timeout
	ctx, cancel := context.WithTimeout(call, limit)
	defer cancel()
	seen = Answer{url: url}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		seen.err = err
		return nil, seen, err
	}
	req.Header.Set("User-Agent", u.opts.UserAgent)
	resp, err := (&http.Client{Transport: bounded{u, most}, CheckRedirect: CheckRedirect}).Do(req)
	if err != nil {
		seen.err = explainTimeout(call, err, limit)
		return nil, seen, seen.err
	}
	defer func() { _ = resp.Body.Close() }()
	seen.Status, seen.RetryAfter = resp.StatusCode, resp.Header.Get("Retry-After")
	body, err = io.ReadAll(resp.Body) // from memory: see readWhole
	if err == nil && resp.StatusCode != http.StatusOK {
		err = problem.Parse(resp.StatusCode, body)
	}
	return body, seen, err
}

// service returns one URL of the directory; empty if the CA does not offer it.
func (u *CA) service(ctx context.Context, doing, name string) (string, error) {
	body, _, err := u.get(ctx, doing+": reading the directory "+u.Directory, u.Directory, MaxAnswer)
	if err != nil {
		return "", err
	}
	entries := map[string]json.RawMessage{}
	if err := json.Unmarshal(body, &entries); err != nil {
		return "", &problem.Error{OfClass: ledger.ClassCAUnavailable, Doing: doing, Said: "the directory " + u.Directory + " is no JSON object: " + err.Error(), Cause: err,
			Advice: "check that the issuer's directory is the URL of an ACME directory"}
	}
	var url string
	if entry, ok := entries[name]; ok && json.Unmarshal(entry, &url) != nil {
		return "", &problem.Error{OfClass: ledger.ClassCAUnavailable, Doing: doing, Said: "the directory's " + name + " is no text"}
	}
	return url, nil
}

package acme

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

	"certroll/spec"
)

// upstream is a CA as everybody sees it, account or not: the connections to it
// and its directory (RFC 8555 section 7.1.1).
type upstream struct {
	opts      caOptions
	directory string
	transport http.RoundTripper
	open      *connections

	asking chan struct{} // one element for each request without an account under way

	dirGate chan struct{} // held by the call that fetches the directory
	dirBody []byte
	dirHead http.Header
	dirTime time.Time
}

// cas are the CAs of the issuers.
type cas struct {
	opts caOptions
	mu   sync.Mutex
	open map[string]*upstream // by directory and CA bundle
}

// caOptions are the settings of cas. All are required but Wrap.
type caOptions struct {
	UserAgent string
	Timeout   time.Duration // of one request
	Now       func() time.Time
	Logger    *slog.Logger
	// Wrap wraps the HTTP transport of each CA.
	Wrap func(http.RoundTripper) http.RoundTripper
}

func newCAs(o caOptions) *cas { return &cas{opts: o, open: map[string]*upstream{}} }

// close drops the connections.
func (c *cas) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, u := range c.open {
		u.open.close()
	}
	c.open = map[string]*upstream{}
}

const (
	// requestsAtOnce bounds the requests under way of an account, and those of a CA
	// without an account. A session's bound is one of its lanes, too: each new lane
	// asks for a nonce, of which Let's Encrypt gives ten at once. A request is short;
	// what takes long, the waiting between two of them, is not counted.
	requestsAtOnce = 10
)

// directoryAge is how long a directory is kept.
const directoryAge = time.Hour

// upstream returns the issuer's CA. Issuers with the same directory and CA
// bundle share it, whatever their accounts.
func (c *cas) upstream(issuer *spec.Issuer) (*upstream, error) {
	if len(issuer.Held) > 0 {
		return nil, heldError("asking the CA of issuer "+issuer.Name, issuer.Held)
	}
	key := issuer.Directory + "\x00" + issuer.CABundle
	if issuer.Reach.Anything {
		key += "\x00anything" // a block of the config repo gets connections of its own
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
	u := &upstream{
		opts: c.opts, directory: issuer.Directory, transport: transport, open: open,
		asking: make(chan struct{}, requestsAtOnce), dirGate: make(chan struct{}, 1),
	}
	c.open[key] = u
	return u, nil
}

// fetch serves the directory from the copy kept and all else from the CA, up
// to most bytes of it.
func (u *upstream) fetch(req *http.Request, most int64) (*http.Response, error) {
	if req.Method == http.MethodGet && req.URL.String() == u.directory {
		return u.cachedDirectory(req)
	}
	resp, err := u.transport.RoundTrip(req)
	return readWhole(resp, err, most)
}

// cachedDirectory answers a request for the directory from the copy that all
// share, fetching it where there is none or it is old.
func (u *upstream) cachedDirectory(req *http.Request) (*http.Response, error) {
	select {
	case u.dirGate <- struct{}{}:
		defer func() { <-u.dirGate }()
	case <-req.Context().Done():
		return nil, req.Context().Err()
	}
	if u.dirBody != nil && u.opts.Now().Sub(u.dirTime) < directoryAge {
		return u.directoryAnswer(req), nil
	}
	resp, err := u.transport.RoundTrip(req)
	resp, err = readWhole(resp, err, maxAnswer)
	if err != nil || resp.StatusCode != http.StatusOK {
		return resp, err
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("reading the directory: %w", err)
	}
	u.dirBody, u.dirHead, u.dirTime = body, resp.Header, u.opts.Now()
	return u.directoryAnswer(req), nil
}

func (u *upstream) directoryAnswer(req *http.Request) *http.Response {
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: u.dirHead.Clone(), Body: io.NopCloser(bytes.NewReader(u.dirBody)),
		ContentLength: int64(len(u.dirBody)), Request: req,
	}
}

// bounded is the way to a CA for requests without an account.
type bounded struct {
	*upstream
	most int64
}

// RoundTrip is http.RoundTripper's.
func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) { return b.fetch(req, b.most) }

// roundTrip sends one request of lego's for a call: lego's API takes no context, so
// the call's context comes in here. The body is read to its end, within the time and
// size allowed, before lego sees it: lego leaves some bodies open, and a connection
// with them.
func (u *upstream) roundTrip(call context.Context, req *http.Request) (*http.Response, answer, error) {
	ctx, cancel := context.WithTimeout(call, u.opts.Timeout)
	defer cancel()
	seen := answer{url: req.URL.String(), request: req}
	resp, err := u.fetch(req.WithContext(ctx), maxAnswer)
	if err != nil {
		seen.err = explainTimeout(call, err, u.opts.Timeout)
		return nil, seen, seen.err
	}
	seen.status, seen.retryAfter = resp.StatusCode, resp.Header.Get("Retry-After")
	u.opts.Logger.Debug("acme request", "method", req.Method, "url", seen.url, "status", resp.StatusCode)
	return resp, seen, nil
}

// get asks for a URL without an account, as a call of its own. Any answer that
// is not 200 is an error, told as those of requests with an account are.
func (u *upstream) get(ctx context.Context, doing, url string, most int64) (body []byte, seen answer, err error) {
	select {
	case u.asking <- struct{}{}:
		defer func() { <-u.asking }()
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		return nil, seen, interrupted(ctx, doing)
	}
	body, seen, err = u.getOnce(ctx, url, most)
	if err != nil {
		return nil, seen, explain(ctx, doing, err, seen, u.opts.Now())
	}
	return body, seen, nil
}

func (u *upstream) getOnce(call context.Context, url string, most int64) (body []byte, seen answer, err error) {
	limit := u.opts.Timeout
	ctx, cancel := context.WithTimeout(call, limit)
	defer cancel()
	seen = answer{url: url}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		seen.err = err
		return nil, seen, err
	}
	req.Header.Set("User-Agent", u.opts.UserAgent)
	resp, err := (&http.Client{Transport: bounded{u, most}, CheckRedirect: checkRedirect}).Do(req)
	if err != nil {
		seen.err = explainTimeout(call, err, limit)
		return nil, seen, seen.err
	}
	defer func() { _ = resp.Body.Close() }()
	seen.status, seen.retryAfter = resp.StatusCode, resp.Header.Get("Retry-After")
	body, err = io.ReadAll(resp.Body) // which is in memory: see readWhole
	if err == nil && resp.StatusCode != http.StatusOK {
		err = problemIn(resp.StatusCode, body)
	}
	return body, seen, err
}

// service is one URL of the directory; empty where the CA does not offer it.
func (u *upstream) service(ctx context.Context, doing, name string) (string, error) {
	body, _, err := u.get(ctx, doing+": reading the directory "+u.directory, u.directory, maxAnswer)
	if err != nil {
		return "", err
	}
	entries := map[string]json.RawMessage{}
	if err := json.Unmarshal(body, &entries); err != nil {
		return "", &Error{class: ClassCAUnavailable, doing: doing, said: "the directory " + u.directory + " is no JSON object: " + err.Error(), cause: err,
			advice: "see that the issuer's directory is the URL of an ACME directory"}
	}
	var url string
	if entry, ok := entries[name]; ok && json.Unmarshal(entry, &url) != nil {
		return "", &Error{class: ClassCAUnavailable, doing: doing, said: "the directory's " + name + " is no text"}
	}
	return url, nil
}

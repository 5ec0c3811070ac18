package acme

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"certroll/examples/lab"
	"certroll/reconcile/acme/ca"
	"certroll/reconcile/ledger"
	"certroll/spec"
	"certroll/spec/redact"
)

func serveFiles(t testing.TB, address, root string) {
	t.Helper()
	s := &http.Server{Addr: address, Handler: http.FileServer(http.Dir(root)), ReadTimeout: time.Second}
	done := make(chan error)
	go func() { done <- s.ListenAndServe() }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; err != http.ErrServerClosed {
			t.Error(err)
		}
	})
}

// faulty is a fake transport that answers some requests itself.
type faulty struct {
	next   http.RoundTripper
	answer func(*http.Request) *http.Response // nil: forward the request
	seen   atomic.Int64
}

func (f *faulty) RoundTrip(req *http.Request) (*http.Response, error) {
	f.seen.Add(1)
	if resp := f.answer(req); resp != nil {
		if err := req.Context().Err(); err != nil {
			return nil, err
		}
		resp.Request = req
		return resp, nil
	}
	return f.next.RoundTrip(req)
}

func reply(status int, header map[string]string, body string) *http.Response {
	h := http.Header{}
	for k, v := range header {
		h.Set(k, v)
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(bytes.NewBufferString(body))}
}

func problemBody(kind, detail string) string {
	return `{"type":"urn:ietf:params:acme:error:` + kind + `","detail":"` + detail + `"}`
}

// TestRetryAfter checks that the CA's error text reaches the caller unchanged, with the
// time after which certroll may retry.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	r := newRig(t, lab.PebbleOptions{})
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	tests := map[string]struct {
		path   string
		status int
		header map[string]string
		body   string
		class  ledger.Class
		at     time.Time
		want   string
	}{
		"limit in seconds": {
			path: "order", status: 429, header: map[string]string{"Retry-After": "120"}, body: problemBody("rateLimited", "too many new orders"),
			class: ledger.ClassRateLimited, at: now.Add(2 * time.Minute), want: "429 urn:ietf:params:acme:error:rateLimited: too many new orders",
		},
		"limit as a date": {
			path: "order", status: 429, header: map[string]string{"Retry-After": "Mon, 23 Nov 2026 13:00:00 GMT"}, body: problemBody("rateLimited", "x"),
			class: ledger.ClassRateLimited, at: now.Add(time.Hour), want: "rateLimited: x",
		},
		"limit told in the detail only": {
			path: "order", status: 429, body: problemBody("rateLimited", "too many certificates, retry after 2026-11-24 00:00:00 UTC: see docs"),
			class: ledger.ClassRateLimited, at: now.Add(12 * time.Hour), want: "too many certificates",
		},
		"overloaded": {
			path: "order", status: 503, header: map[string]string{"Retry-After": "7"}, body: problemBody("serverInternal", "down for maintenance"),
			class: ledger.ClassCAUnavailable, at: now.Add(7 * time.Second), want: "503 urn:ietf:params:acme:error:serverInternal: down for maintenance",
		},
		"load balancer's page": {
			path: "order", status: 503, header: map[string]string{"Retry-After": "9"}, body: "<html>busy</html>",
			class: ledger.ClassCAUnavailable, at: now.Add(9 * time.Second), want: "answered 503 Service Unavailable",
		},
		"no nonce to be had": {
			path: "nonce", status: 503, header: map[string]string{"Retry-After": "11"},
			class: ledger.ClassCAUnavailable, at: now.Add(11 * time.Second), want: "answered 503 Service Unavailable",
		},
		"paused": {
			path: "order", status: 429, body: problemBody("rateLimited", "Your account is temporarily prevented from requesting certificates for a.example.com and possibly others. Please visit: https://ca.example.com/sfe/v1/unpause?jwt=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln"),
			class: ledger.ClassPaused, want: "Please visit: https://ca.example.com/sfe/v1/unpause?jwt=" + redact.Struck,
		},
		"a proxy that waited for too long": {
			path: "order", status: 408, body: "<html>408 Request Time-out</html>", class: ledger.ClassCAUnavailable, want: "answered 408 Request Timeout",
		},
		"error that is null": {
			path: "order", status: 500, body: "null", class: ledger.ClassCAUnavailable, want: "answered 500",
		},
		"JSON that is no problem": {
			path: "order", status: 403, body: `{"message":"Forbidden"}`, class: ledger.ClassCARejected, want: "answered 403 Forbidden",
		},
		"several names at once": {
			path: "order", status: 400, class: ledger.ClassCARejected,
			body: `{"type":"urn:ietf:params:acme:error:malformed","detail":"bad names","subproblems":[` +
				`{"type":"urn:ietf:params:acme:error:rejectedIdentifier","detail":"on a list","identifier":{"type":"dns","value":"a.example.com"}},` +
				`{"type":"urn:ietf:params:acme:error:malformed","detail":"has a space","identifier":{"type":"dns","value":"b.example.com"}}]}`,
			want: "400 urn:ietf:params:acme:error:malformed: bad names [a.example.com: urn:ietf:params:acme:error:rejectedIdentifier: on a list] " +
				"[b.example.com: urn:ietf:params:acme:error:malformed: has a space]",
		},
		"directory": {
			path: "dir", status: 503, header: map[string]string{"Retry-After": "5"}, body: "no",
			class: ledger.ClassCAUnavailable, at: now.Add(5 * time.Second), want: "answered 503",
		},
		"CAA": {
			path: "order", status: 403, body: problemBody("caa", "CAA record for x forbids"), class: ledger.ClassCAA, want: "CAA record for x forbids",
		},
		"not JSON": {
			path: "order", status: 201, body: "<html>", class: ledger.ClassCAUnavailable, want: "invalid character",
		},
		"endless": {
			path: "order", status: 201, body: strings.Repeat("x", ca.MaxAnswer+1), class: ledger.ClassCAUnavailable, want: "larger than",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			o := r.opts
			o.Now = func() time.Time { return now }
			o.Transport = func(next http.RoundTripper) http.RoundTripper {
				return &faulty{next: next, answer: func(req *http.Request) *http.Response {
					if strings.Contains(req.URL.Path, test.path) {
						return reply(test.status, test.header, test.body)
					}
					return nil
				}}
			}
			c := New(newMemory(), o)
			defer func() { _ = c.Close() }()
			_, _, err := c.Order(t.Context(), r.issuer, []string{"limit.lab.test"}, "")
			e := fails(t, err, test.class, false)
			if !e.RetryAt().Equal(test.at) || !strings.Contains(e.Error(), test.want) {
				t.Errorf("got %v, to be tried again at %s; want %q and %s", e, e.RetryAt(), test.want, test.at)
			}
			if strings.Contains(e.Error(), "eyJ") {
				t.Errorf("the error has a signed token: %v", e)
			}
		})
	}
}

// TestRequestsEndWithTheirCall checks that an unanswered request ends at its timeout,
// and at once when its call is interrupted.
func TestRequestsEndWithTheirCall(t *testing.T) {
	t.Parallel()
	r := newRig(t, lab.PebbleOptions{})
	var hang atomic.Bool
	hanging := make(chan struct{}, 2)
	hangs := func(_ http.RoundTripper, req *http.Request) *http.Response {
		if hang.Load() && strings.Contains(req.URL.Path, "order") {
			hanging <- struct{}{}
			<-req.Context().Done()
			return reply(500, nil, "")
		}
		return nil
	}
	c := r.through(hangs)
	r.order(c, "warm.lab.test")
	hang.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-hanging; cancel() }()
	_, _, err := c.Order(ctx, r.issuer, []string{"hang.lab.test"}, "")
	if fails(t, err, ledger.ClassInternal, false); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want an interruption", err)
	}
	r.opts.RequestTimeout = 200 * time.Millisecond
	_, _, err = r.through(hangs).Order(t.Context(), r.issuer, []string{"hang.lab.test"}, "")
	if e := fails(t, err, ledger.ClassCAUnavailable, false); !strings.Contains(e.Error(), "no answer within 200ms") {
		t.Errorf("the error does not say so: %v", e)
	}
}

func TestCARedirects(t *testing.T) {
	t.Parallel()
	r := newRig(t, lab.PebbleOptions{})
	for name, to := range map[string]string{"to HTTP": "http://127.0.0.1:1/", "elsewhere": r.ca.Directory} {
		t.Run(name, func(t *testing.T) {
			o := r.opts
			o.Transport = func(next http.RoundTripper) http.RoundTripper {
				return &faulty{next: next, answer: func(req *http.Request) *http.Response {
					if req.Method == http.MethodPost {
						return reply(307, map[string]string{"Location": to}, "")
					}
					return nil
				}}
			}
			c := New(newMemory(), o)
			defer func() { _ = c.Close() }()
			_, _, err := c.Order(t.Context(), r.issuer, []string{"redirect.lab.test"}, "")
			if e := fails(t, err, ledger.ClassCAUnavailable, false); !strings.Contains(e.Error(), "redirects") {
				t.Errorf("the error does not say so: %v", e)
			}
		})
	}
}

// TestFewRequests checks that the client fetches the directory once and reuses
// connections and nonces.
func TestFewRequests(t *testing.T) {
	r := newRig(t, lab.PebbleOptions{})
	f := &faulty{}
	var directories atomic.Int64
	f.answer = func(req *http.Request) *http.Response {
		if strings.HasSuffix(req.URL.Path, "/dir") {
			directories.Add(1)
		}
		return nil
	}
	r.opts.Transport = func(next http.RoundTripper) http.RoundTripper { f.next = next; return f }
	c := r.client()
	accounts := []*spec.DNSAccount{account("dns", r.server())}
	r.issue(c, accounts, "few1.lab.test")
	before := f.seen.Load()
	r.issue(c, accounts, "few2.lab.test")
	if n := directories.Load(); n != 1 {
		t.Errorf("the directory was fetched %d times, want once", n)
	}
	// The minimum is newOrder, order, authorization, challenge, authorization, order,
	// finalize, order, certificate; the rest are polls.
	if n := f.seen.Load() - before; n > 16 {
		t.Errorf("a certificate took %d requests", n)
	}
}

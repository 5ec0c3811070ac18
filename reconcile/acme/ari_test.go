package acme

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"certroll/examples/lab"
	"certroll/reconcile/acme/ca"
	"certroll/reconcile/ledger"
	"certroll/spec"
)

// ariServer is a CA that serves only a directory and renewal information: opening an
// account there fails.
type ariServer struct {
	issuer      *spec.Issuer
	directories atomic.Int64
	asked       atomic.Value // path of the last request
}

func newARIServer(t *testing.T, offers bool, answer http.HandlerFunc) *ariServer {
	t.Helper()
	a := &ariServer{}
	mux := http.NewServeMux()
	server := httptest.NewTLSServer(mux)
	t.Cleanup(server.Close)
	directory := `{"newNonce":"%s/nonce","newAccount":"%s/account","newOrder":"%s/order"`
	if offers {
		directory += `,"renewalInfo":"` + server.URL + `/renewal-info"`
	}
	mux.HandleFunc("GET /dir", func(w http.ResponseWriter, _ *http.Request) {
		a.directories.Add(1)
		fmt.Fprintf(w, directory+"}", server.URL, server.URL, server.URL)
	})
	mux.HandleFunc("GET /renewal-info/", func(w http.ResponseWriter, r *http.Request) {
		a.asked.Store(r.URL.Path)
		answer(w, r)
	})
	mux.HandleFunc("/", func(_ http.ResponseWriter, r *http.Request) { t.Errorf("the CA was asked for %s %s", r.Method, r.URL) })
	bundle := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	a.issuer = &spec.Issuer{Name: "ari", Reach: spec.Reach{Anything: true}, Directory: server.URL + "/dir", CABundle: string(bundle)}
	return a
}

const (
	someCertID = "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"
	someWindow = `{"suggestedWindow":{"start":"2026-12-01T00:00:00Z","end":"2026-12-02T00:00:00Z"}`
)

// TestRenewalInfo checks that the client rejects every malformed renewal window.
func TestRenewalInfo(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	start := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	type header = map[string]string
	tests := map[string]struct {
		status      int
		header      header
		body        string
		again       time.Duration
		explanation string
		class       ledger.Class // empty: success
		retry       time.Duration
		want        string // part of the error
	}{
		"window":                      {status: 200, body: someWindow + `}`, header: header{"Retry-After": "21600"}, again: 6 * time.Hour},
		"with an explanation":         {status: 200, body: someWindow + `,"explanationURL":"https://ca.example.com/incident/1"}`, again: ca.UnknownAgain, explanation: "https://ca.example.com/incident/1"},
		"explanation over HTTP":       {status: 200, body: someWindow + `,"explanationURL":"http://ca.example.com/incident/1"}`, again: ca.UnknownAgain},
		"explanation as a script":     {status: 200, body: someWindow + `,"explanationURL":"javascript:alert(1)"}`, again: ca.UnknownAgain},
		"explanation with a secret":   {status: 200, body: someWindow + `,"explanationURL":"https://ca.example.com/?jwt=eyJhbGciOi.eyJzdWIi.c2ln"}`, again: ca.UnknownAgain},
		"explanation of great length": {status: 200, body: someWindow + `,"explanationURL":"https://ca.example.com/` + strings.Repeat("x", ca.MaxExplanation) + `"}`, again: ca.UnknownAgain},
		"ask again as a date":         {status: 200, body: someWindow + `}`, header: header{"Retry-After": "Tue, 24 Nov 2026 14:00:00 GMT"}, again: 2 * time.Hour},
		"ask again at once":           {status: 200, body: someWindow + `}`, header: header{"Retry-After": "0"}, again: ca.LeastAgain},
		"ask again in a year":         {status: 200, body: someWindow + `}`, header: header{"Retry-After": "31536000"}, again: ca.MostAgain},
		"ask again, unreadable":       {status: 200, body: someWindow + `}`, header: header{"Retry-After": "soon"}, again: ca.UnknownAgain},
		"unknown certificate":         {status: 404, body: problemBody("malformed", "no such certificate"), class: ledger.ClassCARejected, want: "404 urn:ietf:params:acme:error:malformed: no such certificate"},
		"not found in plain":          {status: 404, body: "404 page not found", class: ledger.ClassCARejected, want: "answered 404"},
		"limit":                       {status: 429, header: header{"Retry-After": "90"}, body: problemBody("rateLimited", "slow down"), class: ledger.ClassRateLimited, retry: 90 * time.Second, want: "slow down"},
		"limit in plain":              {status: 429, header: header{"Retry-After": "90"}, body: "Too Many Requests", class: ledger.ClassRateLimited, retry: 90 * time.Second, want: "answered 429"},
		"busy":                        {status: 503, header: header{"Retry-After": "3600"}, body: "<html>busy</html>", class: ledger.ClassRateLimited, retry: time.Hour, want: "answered 503"},
		"busy for ever":               {status: 503, body: "<html>busy</html>", class: ledger.ClassCAUnavailable, want: "answered 503"},
		"a fault":                     {status: 500, body: problemBody("serverInternal", "oops"), class: ledger.ClassCAUnavailable, want: "oops"},
		"no window":                   {status: 200, body: `{}`, class: ledger.ClassCAUnavailable, want: "no suggestedWindow"},
		"a problem with status 200":   {status: 200, body: problemBody("serverInternal", "oops"), class: ledger.ClassCAUnavailable, want: "no suggestedWindow"},
		"window of year 1":            {status: 200, body: `{"suggestedWindow":{"start":"0001-01-01T00:00:00Z","end":"0001-01-01T00:00:00Z"}}`, class: ledger.ClassCAUnavailable, want: "no suggestedWindow"},
		"window without end":          {status: 200, body: `{"suggestedWindow":{"start":"2026-12-01T00:00:00Z"}}`, class: ledger.ClassCAUnavailable, want: "no suggestedWindow"},
		"window of 1970":              {status: 200, body: `{"suggestedWindow":{"start":"1970-01-01T00:00:00Z","end":"1970-01-02T00:00:00Z"}}`, class: ledger.ClassCAUnavailable, want: "no suggestedWindow"},
		"start after end":             {status: 200, body: `{"suggestedWindow":{"start":"2026-12-03T00:00:00Z","end":"2026-12-02T00:00:00Z"}}`, class: ledger.ClassCAUnavailable, want: "not after its start"},
		"start at end":                {status: 200, body: `{"suggestedWindow":{"start":"2026-12-02T00:00:00Z","end":"2026-12-02T00:00:00Z"}}`, class: ledger.ClassCAUnavailable, want: "not after its start"},
		"a date of another kind":      {status: 200, body: `{"suggestedWindow":{"start":"1 December 2026","end":"2 December 2026"}}`, class: ledger.ClassCAUnavailable, want: "cannot be followed"},
		"garbage, with a time":        {status: 200, header: header{"Retry-After": "60"}, body: "\x00\x01", class: ledger.ClassCAUnavailable, retry: time.Minute, want: "cannot be followed"},
		"HTML":                        {status: 200, body: "<html>welcome</html>", class: ledger.ClassCAUnavailable, want: "cannot be followed"},
		"null":                        {status: 200, body: "null", class: ledger.ClassCAUnavailable, want: "cannot be followed"},
		"nothing":                     {status: 200, class: ledger.ClassCAUnavailable, want: "cannot be followed"},
		"huge":                        {status: 200, body: someWindow + `}` + strings.Repeat(" ", ca.MaxRenewalInfo), class: ledger.ClassCAUnavailable, want: "larger than 65536 bytes"},
		"another 2xx":                 {status: 202, body: someWindow + `}`, class: ledger.ClassCAUnavailable},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			a := newARIServer(t, true, func(w http.ResponseWriter, _ *http.Request) {
				for k, v := range test.header {
					w.Header().Set(k, v)
				}
				w.WriteHeader(test.status)
				_, _ = w.Write([]byte(test.body))
			})
			c := New(newMemory(), Options{Now: func() time.Time { return now }})
			defer func() { _ = c.Close() }()
			from, to, explanation, again, err := c.RenewalInfo(t.Context(), a.issuer, someCertID)
			if asked := a.asked.Load(); asked != "/renewal-info/"+someCertID {
				t.Errorf("the CA was asked for %v", asked)
			}
			if test.class != "" {
				e := fails(t, err, test.class, false)
				if !from.IsZero() || !to.IsZero() || !again.IsZero() || !strings.Contains(e.Error(), test.want) {
					t.Errorf("got the window %s to %s with the error %v, want none and %q", from, to, e, test.want)
				}
				if want := now.Add(test.retry); test.retry != 0 && !e.RetryAt().Equal(want) || test.retry == 0 && !e.RetryAt().IsZero() {
					t.Errorf("to be tried again at %s, want after %s", e.RetryAt(), test.retry)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !from.Equal(start) || !to.Equal(start.AddDate(0, 0, 1)) || explanation != test.explanation || !again.Equal(now.Add(test.again)) {
				t.Errorf("got %s to %s because of %q, again at %s; want %q, again after %s", from, to, explanation, again, test.explanation, test.again)
			}
		})
	}
}

func TestRenewalInfoIsNotOffered(t *testing.T) {
	a := newARIServer(t, false, http.NotFound)
	c := New(newMemory(), Options{})
	defer func() { _ = c.Close() }()
	for range 2 {
		if _, _, _, _, err := c.RenewalInfo(t.Context(), a.issuer, someCertID); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("got %v, want that it is not supported", err)
		}
	}
	if n := a.directories.Load(); n != 1 {
		t.Errorf("the directory was fetched %d times, want once", n)
	}
}

func TestRenewalInfoCannotBeAsked(t *testing.T) {
	answered := newARIServer(t, true, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(someWindow + "}")) })
	change := func(f func(*spec.Issuer)) *spec.Issuer {
		issuer := *answered.issuer
		f(&issuer)
		return &issuer
	}
	tests := map[string]struct {
		issuer *spec.Issuer
		certID string
		class  ledger.Class
	}{
		"a path":              {answered.issuer, "../x.y", ledger.ClassInternal},
		"one part":            {answered.issuer, "aYhba4dGQEHhs3uEe6CuLN4ByNQ", ledger.ClassInternal},
		"three parts":         {answered.issuer, "a.b.c", ledger.ClassInternal},
		"padding":             {answered.issuer, "aYhb.AIdlQw==", ledger.ClassInternal},
		"nothing":             {answered.issuer, "", ledger.ClassInternal},
		"directory elsewhere": {change(func(i *spec.Issuer) { i.Directory = "https://" + closedPort + "/dir" }), someCertID, ledger.ClassCAUnavailable},
		"CA bundle missing":   {change(func(i *spec.Issuer) { i.CABundle = "" }), someCertID, ledger.ClassConfig},
		"no HTTPS":            {change(func(i *spec.Issuer) { i.Directory = "http://127.0.0.1:1/dir" }), someCertID, ledger.ClassConfig},
		"no ACME directory":   {change(func(i *spec.Issuer) { i.Directory = strings.Replace(i.Directory, "/dir", "/renewal-info/page", 1) }), someCertID, ledger.ClassCARejected},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := New(newMemory(), Options{})
			defer func() { _ = c.Close() }()
			_, _, _, _, err := c.RenewalInfo(t.Context(), test.issuer, test.certID)
			fails(t, err, test.class, false)
		})
	}
	t.Run("interrupted", func(t *testing.T) {
		c := New(newMemory(), Options{})
		defer func() { _ = c.Close() }()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, _, _, _, err := c.RenewalInfo(ctx, answered.issuer, someCertID)
		if fails(t, err, ledger.ClassInternal, false); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want an interruption", err)
		}
	})
	t.Run("too slow", func(t *testing.T) {
		slow := newARIServer(t, true, silent)
		c := New(newMemory(), Options{RequestTimeout: 100 * time.Millisecond})
		defer func() { _ = c.Close() }()
		_, _, _, _, err := c.RenewalInfo(t.Context(), slow.issuer, someCertID)
		if e := fails(t, err, ledger.ClassCAUnavailable, false); !strings.Contains(e.Error(), "no answer within 100ms") {
			t.Errorf("the error does not say so: %v", e)
		}
	})
}

// certID returns a certificate's ARI identifier (RFC 9773 section 4.1).
func certID(leaf *x509.Certificate) string {
	serial := leaf.SerialNumber.Bytes()
	if serial[0]&0x80 != 0 {
		serial = append([]byte{0}, serial...) // as in DER
	}
	return base64.RawURLEncoding.EncodeToString(leaf.AuthorityKeyId) + "." + base64.RawURLEncoding.EncodeToString(serial)
}

func TestRenewalInfoOfPebble(t *testing.T) {
	t.Parallel()
	r := newRig(t, lab.PebbleOptions{})
	leaf, _ := r.issue(r.client(), []*spec.DNSAccount{account("dns", r.server())}, "ari.lab.test")
	strangers := newMemory()
	stranger := New(strangers, r.opts) // this client has no account
	defer func() { _ = stranger.Close() }()

	start, end, _, again, err := stranger.RenewalInfo(t.Context(), r.issuer, certID(leaf))
	if err != nil {
		t.Fatal(err)
	}
	if !start.After(leaf.NotBefore) || !end.After(start) || !end.Before(leaf.NotAfter) {
		t.Errorf("the window %s to %s is not within the validity %s to %s", start, end, leaf.NotBefore, leaf.NotAfter)
	}
	if d := time.Until(again); d < 5*time.Hour || d > 6*time.Hour {
		t.Errorf("to be asked again in %s, want the six hours that Pebble says", d)
	}
	if len(strangers.docs) != 0 {
		t.Error("an account was made to ask without one")
	}

	chain := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw}))
	for name, answer := range map[string]string{"zero window": `{"suggestedWindow":{}}`, "garbage": "nonsense"} {
		if err := r.ca.SetRenewalInfo(t.Context(), chain, answer); err != nil {
			t.Fatal(err)
		}
		_, _, _, _, err := stranger.RenewalInfo(t.Context(), r.issuer, certID(leaf))
		if e := fails(t, err, ledger.ClassCAUnavailable, false); e.RetryAt().IsZero() {
			t.Errorf("%s: the time that Pebble named is lost", name)
		}
	}
	past := `{"suggestedWindow":{"start":"2020-01-01T00:00:00Z","end":"2020-01-02T00:00:00Z"},"explanationURL":"https://ca.example.com/why"}`
	if err := r.ca.SetRenewalInfo(t.Context(), chain, past); err != nil {
		t.Fatal(err)
	}
	_, end, why, _, err := stranger.RenewalInfo(t.Context(), r.issuer, certID(leaf))
	if err != nil || end.Year() != 2020 || why != "https://ca.example.com/why" {
		t.Errorf("got a window that ends %s because of %q (%v)", end, why, err)
	}
	unknown := certID(&x509.Certificate{AuthorityKeyId: leaf.AuthorityKeyId, SerialNumber: leaf.SerialNumber.SetInt64(77)})
	_, _, _, _, err = stranger.RenewalInfo(t.Context(), r.issuer, unknown)
	fails(t, err, ledger.ClassCARejected, false)
}

package ca

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"certroll/reconcile/acme/problem"
	"certroll/reconcile/reach"
	"certroll/spec"
	"certroll/spec/redact"
)

// MaxAnswer bounds an answer of the CA, in bytes. The largest correct one is a chain of
// a few certificates.
const MaxAnswer = 1 << 20

// Answer is the recorded part of a CA's answer to one request.
type Answer struct {
	url        string
	Status     int
	RetryAfter string
	err        error // the request got no answer
	Request    *http.Request
}

// SentField reports whether the payload of the signed request had this field. lego omits
// replaces if the directory has no renewalInfo, and repeats an order without it after
// alreadyReplaced.
func (a Answer) SentField(name string) bool {
	if a.Request == nil || a.Request.GetBody == nil {
		return false
	}
	body, err := a.Request.GetBody()
	if err != nil {
		return false
	}
	var jws struct {
		Payload string `json:"payload"`
	}
	fields := map[string]json.RawMessage{}
	if json.NewDecoder(body).Decode(&jws) != nil {
		return false
	}
	payload, err := base64.RawURLEncoding.DecodeString(jws.Payload)
	if err != nil || json.Unmarshal(payload, &fields) != nil {
		return false
	}
	return fields[name] != nil
}

// newTransport returns the HTTP transport to an issuer's CA, and its connections.
func newTransport(issuer *spec.Issuer, wrap func(http.RoundTripper) http.RoundTripper) (http.RoundTripper, *connections, error) {
	if u, err := url.Parse(issuer.Directory); err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, nil, problem.Config("using the directory "+strconv.Quote(issuer.Directory)+" of issuer "+issuer.Name, "it is no HTTPS URL",
			"ACME is spoken over HTTPS only (RFC 8555 section 6.1)")
	}
	base := http.DefaultTransport.(*http.Transport).Clone()
	// net/http keeps two idle connections per host, but each account of this CA may have
	// RequestsAtOnce requests in progress.
	base.MaxIdleConnsPerHost = 32
	base.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	if !issuer.Reach.Anything {
		(&reach.Dialer{Dials: issuer.Reach.Dials, Allow: problem.TrustEndpoints}).Transport(base)
	}
	if issuer.CABundle != "" {
		// The bundle adds to the system's roots.
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM([]byte(issuer.CABundle)) {
			return nil, nil, problem.Config("reading the ca_bundle of issuer "+issuer.Name, "it holds no PEM certificate",
				"give the certificates themselves, from -----BEGIN CERTIFICATE----- on")
		}
		base.TLSClientConfig.RootCAs = pool
	}
	open := connectionsOf(base)
	if wrap != nil {
		return wrap(base), open, nil
	}
	return base, open, nil
}

// readWhole reads a body to its end and fails above most bytes. It removes signed tokens
// from error answers here, so that no later code can pass them on.
func readWhole(resp *http.Response, err error, most int64) (*http.Response, error) {
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	// One byte more than allowed shows that the answer is too large.
	body, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	if err != nil {
		return nil, fmt.Errorf("reading the answer of %s: %w", resp.Request.URL.Host, err)
	}
	if int64(len(body)) > most {
		return nil, fmt.Errorf("the answer of %s is larger than %d bytes", resp.Request.URL.Host, most)
	}
	if bytes.Equal(bytes.TrimSpace(body), []byte("null")) {
		body = nil // lego would decode it as a problem document, and panic
	}
	if resp.StatusCode >= http.StatusBadRequest {
		body = []byte(redact.Tokens(string(body)))
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	resp.ContentLength = int64(len(body))
	return resp, nil
}

// explainTimeout names the time limit if that limit ended the request, and not the
// caller.
func explainTimeout(call context.Context, err error, limit time.Duration) error {
	if call.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %s: %w", limit, err)
	}
	return err
}

// CheckRedirect rejects redirects to another host, redirects of signed requests, and
// loops.
func CheckRedirect(req *http.Request, via []*http.Request) error {
	switch {
	case req.URL.Scheme != "https":
		return fmt.Errorf("the CA redirects to %s, which is not HTTPS", problem.Clip(req.URL.Redacted()))
	case !strings.EqualFold(req.URL.Host, via[0].URL.Host):
		// The config allows this host only, and errors quote the answer's text.
		return fmt.Errorf("the CA redirects to another host, %s", problem.Clip(req.URL.Host))
	case req.Method != http.MethodGet && req.Method != http.MethodHead:
		// A JWS names the URL that it is for (RFC 8555 section 6.4) and is invalid at
		// another.
		return fmt.Errorf("the CA redirects a signed request to %s", req.URL.Redacted())
	case len(via) > 3:
		return errors.New("the CA redirects in circles")
	}
	return nil
}

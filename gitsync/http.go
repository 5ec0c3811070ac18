package gitsync

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
)

// httpConnector speaks git's smart HTTP (gitprotocol-http(5)) by go-git.
type httpConnector struct {
	loc    location
	client transport.Transport
	auth   Auth
	learn  func(token string) // is told of each token before it is sent
	idle   func()             // closes connections kept for later
}

func newHTTPConnector(loc location, a Auth, learn func(string)) (*httpConnector, error) {
	pool, err := trust(a.CABundle)
	if err != nil {
		return nil, err
	}
	if _, err := a.currentToken(); err != nil {
		return nil, err
	}
	tr := http.DefaultTransport.(*http.Transport).Clone()
	tr.DialContext = (&net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}).DialContext
	tr.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
	tr.ResponseHeaderTimeout = 2 * time.Minute // hooks run before the first byte of an answer
	return &httpConnector{
		loc: loc, auth: a, learn: learn, idle: tr.CloseIdleConnections,
		client: githttp.NewClient(&http.Client{Transport: brief{tr}}),
	}, nil
}

// login is what to log in with in one conversation; nil: nothing.
func (c *httpConnector) login() (transport.AuthMethod, error) {
	token, err := c.auth.currentToken()
	if err != nil || token == "" && c.auth.Username == "" {
		return nil, err
	}
	c.learn(token)
	return &githttp.BasicAuth{Username: c.auth.user(), Password: token}, nil
}

// trust is nil, meaning the system's roots, without a bundle.
func trust(bundle string) (*x509.CertPool, error) {
	if bundle == "" {
		return nil, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM([]byte(bundle)) {
		return nil, invalid("reading the CA bundle", "it holds no PEM certificate", "put -----BEGIN CERTIFICATE----- blocks there")
	}
	return pool, nil
}

// endpoint is made anew for each conversation: go-git writes redirects into it.
func (c *httpConnector) endpoint() *transport.Endpoint {
	host := c.loc.host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return &transport.Endpoint{
		Protocol: string(c.loc.scheme), Host: host, Port: c.loc.port,
		Path: strings.TrimRight(c.loc.path, "/"),
	}
}

func (c *httpConnector) upload(context.Context) (transport.UploadPackSession, error) {
	auth, err := c.login()
	if err != nil {
		return nil, err
	}
	return c.client.NewUploadPackSession(c.endpoint(), auth)
}

func (c *httpConnector) receive(context.Context) (transport.ReceivePackSession, error) {
	auth, err := c.login()
	if err != nil {
		return nil, err
	}
	return c.client.NewReceivePackSession(c.endpoint(), auth)
}

func (c *httpConnector) close() { c.idle() }

// brief bounds the bodies of refusals, which go-git reads to their end.
type brief struct{ next http.RoundTripper }

func (b brief) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := b.next.RoundTrip(req)
	if err == nil && res.StatusCode >= 300 {
		res.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(res.Body, maxWords), res.Body}
	}
	return res, err
}

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
	auth   transport.AuthMethod // nil: none
	idle   func()               // closes connections kept for later
}

func newHTTPConnector(loc location, a Auth) (*httpConnector, error) {
	pool, err := trust(a.CABundle)
	if err != nil {
		return nil, err
	}
	tr := http.DefaultTransport.(*http.Transport).Clone()
	tr.DialContext = (&net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}).DialContext
	tr.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
	tr.ResponseHeaderTimeout = 2 * time.Minute // hooks run before the first byte of an answer
	c := &httpConnector{loc: loc, idle: tr.CloseIdleConnections, client: githttp.NewClient(&http.Client{Transport: brief{tr}})}
	if a.Token != "" || a.Username != "" {
		c.auth = &githttp.BasicAuth{Username: a.user(), Password: a.Token}
	}
	return c, nil
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
	return c.client.NewUploadPackSession(c.endpoint(), c.auth)
}

func (c *httpConnector) receive(context.Context) (transport.ReceivePackSession, error) {
	return c.client.NewReceivePackSession(c.endpoint(), c.auth)
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

package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"

	"certroll/gitsync/fault"
	"certroll/spec/bounded"
	"certroll/spec/text"
)

// httpConnector speaks git's smart HTTP (gitprotocol-http(5)) through go-git.
type httpConnector struct {
	loc   Location
	auth  Auth
	learn func(token string) // called with each token before it is sent, so that the redactor knows it

	mu     sync.Mutex
	bundle string // the CA bundle that client trusts
	client transport.Transport
	idle   func() // closes the idle connections of client
}

// newHTTPConnector reads the token and the CA bundle once, so that a wrong setting fails at
// the start.
func newHTTPConnector(loc Location, a Auth, learn func(string)) (*httpConnector, error) {
	if _, err := a.currentToken(); err != nil {
		return nil, err
	}
	c := &httpConnector{loc: loc, auth: a, learn: learn}
	_, err := c.transport()
	return c, err
}

// transport returns the client for the next conversation. It makes a new one if the CA
// bundle has changed.
func (c *httpConnector) transport() (transport.Transport, error) {
	bundle, err := c.auth.currentBundle()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.client != nil && c.bundle == bundle {
		return c.client, nil
	}
	pool, err := trust(bundle)
	if err != nil {
		return nil, err
	}
	if c.idle != nil {
		c.idle()
	}
	tr := http.DefaultTransport.(*http.Transport).Clone()
	tr.DialContext = (&net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}).DialContext
	tr.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
	tr.ResponseHeaderTimeout = 2 * time.Minute // hooks run before the first byte of an answer
	c.bundle, c.idle, c.client = bundle, tr.CloseIdleConnections, githttp.NewClient(&http.Client{Transport: brief{tr}})
	return c.client, nil
}

// login returns the credentials for one conversation; nil if there are none.
func (c *httpConnector) login() (transport.AuthMethod, error) {
	token, err := c.auth.currentToken()
	if err != nil || token == "" && c.auth.Username == "" {
		return nil, err
	}
	c.learn(token)
	return &githttp.BasicAuth{Username: c.auth.user(), Password: token}, nil
}

// trust returns the certificates to trust; nil, meaning the system's roots, without a
// bundle.
func trust(bundle string) (*x509.CertPool, error) {
	if bundle == "" {
		return nil, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM([]byte(bundle)) {
		return nil, fault.BadSetting("reading the CA bundle", "it holds no PEM certificate", "put -----BEGIN CERTIFICATE----- blocks there")
	}
	return pool, nil
}

// endpoint returns a new endpoint for each conversation, because go-git writes redirects
// into it.
func (c *httpConnector) endpoint() *transport.Endpoint {
	host := c.loc.host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return &transport.Endpoint{
		Protocol: string(c.loc.scheme), Host: host, Port: c.loc.port,
		Path: strings.TrimRight(c.loc.Path, "/"),
	}
}

func (c *httpConnector) Upload(context.Context) (transport.UploadPackSession, error) {
	auth, err := c.login()
	if err != nil {
		return nil, err
	}
	client, err := c.transport()
	if err != nil {
		return nil, err
	}
	return client.NewUploadPackSession(c.endpoint(), auth)
}

func (c *httpConnector) Receive(context.Context) (transport.ReceivePackSession, error) {
	auth, err := c.login()
	if err != nil {
		return nil, err
	}
	client, err := c.transport()
	if err != nil {
		return nil, err
	}
	return client.NewReceivePackSession(c.endpoint(), auth)
}

func (c *httpConnector) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.idle()
}

// pageError is an HTML page in place of Git's data. GitLab, Azure DevOps and single sign-on
// proxies answer an expired token with a login page and status 200 or 203.
type pageError struct{ title string }

func (e *pageError) Error() string {
	if e.title == "" {
		return "it answered with a web page instead of Git's data"
	}
	return fmt.Sprintf("it answered with a web page (%s) instead of Git's data", e.title)
}

var pageTitle = regexp.MustCompile(`(?is)<title[^>]*>(.*?)</title>`)

// readPage returns the pageError for an answer, and closes the answer.
func readPage(res *http.Response) error {
	defer func() { _ = res.Body.Close() }()
	page, _ := io.ReadAll(io.LimitReader(res.Body, maxWords)) // the title is near the beginning
	m := pageTitle.FindSubmatch(page)
	if m == nil {
		return &pageError{}
	}
	title := []rune(text.Line(strings.Join(strings.Fields(html.UnescapeString(string(m[1]))), " ")))
	return &pageError{string(title[:min(len(title), 80)])}
}

// brief bounds the bodies of refusals, of lists of refs and of push reports, because go-git
// reads them to the end. Fetch bounds packs by itself.
type brief struct{ next http.RoundTripper }

// RoundTrip sends a request, and bounds the body of its answer.
func (b brief) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := b.next.RoundTrip(req)
	if err != nil {
		return res, err
	}
	if res.StatusCode < 300 && strings.HasPrefix(strings.ToLower(res.Header.Get("Content-Type")), "text/html") {
		return nil, readPage(res)
	}
	var short io.Reader
	switch {
	case res.StatusCode >= 300:
		short = io.LimitReader(res.Body, maxWords)
	case !strings.HasSuffix(req.URL.Path, "/git-upload-pack"):
		short = bounded.Reader(res.Body, MaxRefs)
	default:
		return res, nil
	}
	res.Body = struct {
		io.Reader
		io.Closer
	}{short, res.Body}
	return res, nil
}

package dnsprovider

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"

	"golang.org/x/net/http/httpproxy"

	"certroll/reconcile/acme/problem"
	"certroll/reconcile/acme/wait"
	"certroll/reconcile/reach"
	"certroll/spec"
)

// gateway is the network access of one DNS child: a proxy on loopback that connects only
// to the addresses that the account may reach. It is the second line of defense. The
// spec's decoder checked the servers that a block names; the gateway checks the targets
// of redirects and of DNS answers.
//
// The child uses it as the proxy of everything that goes through net/http.
// TestProvidersUseTheGateway lists the client libraries that bypass it.
type gateway struct {
	listener net.Listener
	server   *http.Server
	token    string // the child's credential, against other users of the machine
	dialer   *reach.Dialer
	operator func(*url.URL) (*url.URL, error) // the operator's own proxy
	serving  sync.WaitGroup

	mu     sync.Mutex
	denied string // the last refused host, until refused returns it
}

// gatewayTimeout bounds a connection's setup.
const gatewayTimeout = 30 * time.Second

// openGateway starts a gateway on a free port of loopback, with a random token.
func openGateway(ctx context.Context, account *spec.DNSAccount) (*gateway, error) {
	l, err := wait.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	g := &gateway{
		listener: l, token: rand.Text(), operator: httpproxy.FromEnvironment().ProxyFunc(),
		dialer: &reach.Dialer{Dials: account.Reach.Dials, Allow: problem.TrustEndpoints, Timeout: gatewayTimeout},
	}
	g.server = &http.Server{Handler: g, ReadHeaderTimeout: gatewayTimeout, MaxHeaderBytes: 64 << 10}
	g.serving.Go(func() { _ = g.server.Serve(l) }) // ends with ErrServerClosed
	return g, nil
}

func (g *gateway) close() {
	_ = g.server.Close()
	g.serving.Wait()
}

// url returns the proxy URL for the child.
func (g *gateway) url() string {
	return (&url.URL{Scheme: "http", User: url.UserPassword("certroll", g.token), Host: g.listener.Addr().String()}).String()
}

// environment returns the variables that make the child use the gateway. They override
// the operator's proxy; the gateway itself uses that one.
func (g *gateway) environment() []string {
	list := []string{dnsProxyVariable + "=" + g.url(), "NO_PROXY=", "no_proxy="}
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy"} {
		list = append(list, name+"="+g.url())
	}
	return list
}

// dnsProxyVariable makes certroll-dns use a proxy for all connections.
const dnsProxyVariable = "CERTROLL_DNS_GATEWAY"

// refused returns the host refused since the last call; "" if none was.
func (g *gateway) refused() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	host := g.denied
	g.denied = ""
	return host
}

func (g *gateway) deny(host string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.denied = host
}

// ServeHTTP implements http.Handler: CONNECT for HTTPS, an absolute URL for HTTP.
func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte("certroll:"+g.token))
	if subtle.ConstantTimeCompare([]byte(r.Header.Get("Proxy-Authorization")), []byte(want)) != 1 {
		http.Error(w, "not yours", http.StatusProxyAuthRequired)
		return
	}
	if r.Method == http.MethodConnect {
		g.connect(w, r)
		return
	}
	if !r.URL.IsAbs() || r.URL.Scheme != "http" {
		http.Error(w, "write the URL in full", http.StatusBadRequest)
		return
	}
	g.forward(w, r)
}

// forward handles plain HTTP requests. The child's credential for the gateway does not
// leave it.
func (g *gateway) forward(w http.ResponseWriter, r *http.Request) {
	transport := &http.Transport{DisableKeepAlives: true, ResponseHeaderTimeout: 5 * time.Minute}
	g.dialer.Transport(transport)
	defer transport.CloseIdleConnections()
	proxy := &httputil.ReverseProxy{
		Transport: transport,
		Rewrite:   func(p *httputil.ProxyRequest) { p.Out.Header.Del("Proxy-Authorization") },
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			g.fail(w, err)
		},
	}
	proxy.ServeHTTP(w, r)
}

// fail answers without details, so that the child learns nothing about the network
// behind the gateway.
func (g *gateway) fail(w http.ResponseWriter, err error) {
	var denied *reach.DeniedError
	if errors.As(err, &denied) {
		g.deny(denied.Host)
		http.Error(w, "not allowed", http.StatusForbidden)
		return
	}
	http.Error(w, "connection refused or timed out", http.StatusBadGateway)
}

// connect handles CONNECT: it dials first, so that a refusal is still an HTTP answer,
// and then joins the connections.
func (g *gateway) connect(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), gatewayTimeout)
	defer cancel()
	far, err := g.dial(ctx, r.Host)
	if err != nil {
		g.fail(w, err)
		return
	}
	defer far.Close() //nolint:errcheck // the copy has reported any error
	near, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, "no way to connect", http.StatusInternalServerError)
		return
	}
	defer near.Close() //nolint:errcheck // the copy has reported any error
	if _, err := io.WriteString(near, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	splice(near, buffered.Reader, far)
}

// splice copies in both directions until both have ended. The end of one direction
// closes the other's destination.
func splice(near net.Conn, fromNear io.Reader, far net.Conn) {
	var both sync.WaitGroup
	both.Go(func() {
		_, _ = io.Copy(far, fromNear)
		_ = far.Close()
	})
	both.Go(func() {
		_, _ = io.Copy(near, far)
		_ = near.Close()
	})
	both.Wait()
}

// dial connects to a host and port, through the operator's proxy if one is set.
func (g *gateway) dial(ctx context.Context, address string) (net.Conn, error) {
	// Before the operator's proxy, which resolves names itself: only an address written
	// as such can be checked here.
	if err := g.dialer.Literal(hostOf(address), address); err != nil {
		return nil, err
	}
	proxy, err := g.operator(&url.URL{Scheme: "https", Host: address})
	if err != nil {
		return nil, err
	}
	if proxy == nil {
		return g.dialer.DialContext(ctx, "tcp", address)
	}
	return throughProxy(ctx, proxy, address)
}

func hostOf(address string) string {
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return address
}

// throughProxy opens a tunnel through an HTTP proxy (RFC 9110 section 9.3.6).
func throughProxy(ctx context.Context, proxy *url.URL, address string) (net.Conn, error) {
	if proxy.Scheme != "http" {
		return nil, fmt.Errorf("the proxy %s is not reached by http", proxy.Redacted())
	}
	at := proxy.Host
	if proxy.Port() == "" {
		at = net.JoinHostPort(proxy.Hostname(), "80")
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", at)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	request := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: address}, Host: address, Header: http.Header{}}
	if u := proxy.User; u != nil {
		password, _ := u.Password()
		request.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(u.Username()+":"+password)))
	}
	if err := request.Write(conn); err != nil {
		_ = conn.Close()
		return nil, err
	}
	// Read single bytes: a larger buffer would swallow the beginning of the tunnel's
	// data.
	answer, err := http.ReadResponse(bufio.NewReaderSize(oneByte{conn}, 16), request) //nolint:bodyclose // the answer to CONNECT has no body: the tunnel follows
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("the proxy answered %s", answer.Status)
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	_ = conn.SetDeadline(time.Time{})
	return conn, nil
}

// oneByte limits each read to one byte.
type oneByte struct{ io.Reader }

func (o oneByte) Read(p []byte) (int, error) { return o.Reader.Read(p[:min(1, len(p))]) }

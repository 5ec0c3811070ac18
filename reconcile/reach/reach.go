// Package reach connects to addresses that certroll.hcl allows, and to no other.
//
// The address is checked when the socket is about to connect, after the name was
// resolved: a name that leads elsewhere the second time (DNS rebinding) is of no
// use. Probes, the ACME client and the proxy of the DNS children share it.
package reach

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"golang.org/x/net/http/httpproxy"
)

// DeniedError says that a host leads to no address that may be connected to. It
// names the host as it was written and no address: the error ends up in Git.
type DeniedError struct {
	Host  string
	Allow string // what in certroll.hcl would allow it
}

// Error tells so.
func (e *DeniedError) Error() string {
	return e.Host + " leads to no address that may be connected to: they are private, loopback or link-local, and " + e.Allow + " does not allow them"
}

// Denied tells that certroll refused it, and nothing was asked of the network.
func (e *DeniedError) Denied() bool { return true }

// Dialer connects to what Dials allows.
type Dialer struct {
	Dials   func(netip.AddrPort) bool
	Allow   string        // for the error: the setting of certroll.hcl, "trust.endpoints"
	Timeout time.Duration // of one connection; 0: 30 s
}

var errDenied = errors.New("not allowed")

// DialContext is net.Dialer's, for the addresses that are allowed.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	timeout := d.Timeout
	if timeout <= 0 {
		timeout = 30 * time.Second
	}
	dialer := net.Dialer{Timeout: timeout, KeepAlive: 30 * time.Second, Control: func(_, to string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(to)
		if err != nil || !d.Dials(netip.AddrPortFrom(at.Addr().Unmap(), at.Port())) {
			return errDenied
		}
		return nil
	}}
	conn, err := dialer.DialContext(ctx, network, address)
	if errors.Is(err, errDenied) {
		host, _, splitErr := net.SplitHostPort(address)
		if splitErr != nil {
			host = address
		}
		return nil, &DeniedError{Host: host, Allow: d.Allow}
	}
	return conn, err
}

// Transport restricts an HTTP transport to what the dialer allows. The
// operator's own proxy (HTTPS_PROXY) is reached wherever it is; addresses that
// are written as such are checked before a proxy is asked for them.
func (d *Dialer) Transport(t *http.Transport) {
	proxy := httpproxy.FromEnvironment().ProxyFunc()
	own := map[string]bool{}
	for _, scheme := range []string{"http", "https"} {
		if u, err := proxy(&url.URL{Scheme: scheme, Host: "certroll.invalid"}); err == nil && u != nil {
			own[hostPort(u)] = true
		}
	}
	t.Proxy = func(req *http.Request) (*url.URL, error) {
		if err := d.Literal(req.URL.Host, hostPort(req.URL)); err != nil {
			return nil, err
		}
		return proxy(req.URL)
	}
	free := &net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if own[address] {
			return free.DialContext(ctx, network, address)
		}
		return d.DialContext(ctx, network, address)
	}
}

// Literal refuses a host that is written as an address which is not allowed.
func (d *Dialer) Literal(host, address string) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil || d.Dials(netip.AddrPortFrom(at.Addr().Unmap(), at.Port())) {
		return nil //nolint:nilerr // a name: what it leads to is checked when it is dialed
	}
	return &DeniedError{Host: host, Allow: d.Allow}
}

// hostPort is the host of a URL with its port.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}[strings.ToLower(u.Scheme)]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

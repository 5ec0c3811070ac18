// Package reach connects only to addresses that certroll.hcl allows.
//
// It checks the address when the socket connects, after the name was resolved, so that a
// name that resolves differently the second time (DNS rebinding) does not help an
// attacker. Probes, the ACME client and the proxy of the DNS children use it.
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

// DeniedError reports that a host resolves to no allowed address. It contains the host as
// written and no address, because the error ends up in Git.
type DeniedError struct {
	Host  string
	Allow string // the setting of certroll.hcl that would allow it
}

// Error names the host and the setting that would allow its addresses.
func (e *DeniedError) Error() string {
	return e.Host + " leads to no address that may be connected to: they are private, loopback or link-local, and " + e.Allow + " does not allow them"
}

// Denied marks errors of certroll's own rules: nothing was sent to the network.
func (e *DeniedError) Denied() bool { return true }

// Dialer connects to the addresses that Dials allows.
type Dialer struct {
	Dials   func(netip.AddrPort) bool
	Allow   string        // the setting of certroll.hcl for the error, such as "trust.endpoints"
	Timeout time.Duration // of one connection; 0: 30 s
}

var errDenied = errors.New("not allowed")

// DialContext is net.Dialer.DialContext, limited to allowed addresses.
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

// Transport limits an HTTP transport to allowed addresses. The operator's own proxy
// (HTTPS_PROXY) is exempt. A proxy resolves names itself, so Transport can check only
// hosts that are written as addresses before it uses the proxy.
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

// Literal rejects a host that is written as an address and not allowed.
func (d *Dialer) Literal(host, address string) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil || d.Dials(netip.AddrPortFrom(at.Addr().Unmap(), at.Port())) {
		return nil //nolint:nilerr // a name: the dialer checks its addresses
	}
	return &DeniedError{Host: host, Allow: d.Allow}
}

// hostPort returns the host of a URL with its port, explicit or default.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}[strings.ToLower(u.Scheme)]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

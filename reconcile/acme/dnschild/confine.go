package dnschild

import (
	"crypto/tls"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// ProxyVariable names the environment variable with the URL of the proxy that this
// process must use. The parent sets it for DNS accounts of the config repo. An account's
// credentials cannot: no provider has a variable that begins with CERTROLL_.
const ProxyVariable = "CERTROLL_DNS_GATEWAY"

// Confine sends all requests of net/http's default transport and its clones through a
// proxy. That includes requests to addresses of this machine, which the proxy variables
// of the environment exempt. In the default transport, but not in a clone, a redirect
// to another host becomes an error without any text of the answer: Transport.Clone
// drops registered protocols.
func Confine(proxy string) error {
	u, err := url.Parse(proxy)
	if err != nil || u.Host == "" {
		return errors.New("the variable " + ProxyVariable + " holds no URL")
	}
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return errors.New("net/http has another default transport than expected")
	}
	t.Proxy = http.ProxyURL(u)
	// Without this, the transport would register HTTP/2 for https in place of the
	// stayer.
	t.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	inner := &stayer{&http.Transport{
		Proxy: t.Proxy, ForceAttemptHTTP2: true, MaxIdleConns: 100, IdleConnTimeout: 90 * time.Second,
		TLSHandshakeTimeout: 10 * time.Second, ExpectContinueTimeout: time.Second,
	}}
	t.RegisterProtocol("http", inner)
	t.RegisterProtocol("https", inner)
	return nil
}

// stayer rejects answers that redirect to another host.
type stayer struct{ *http.Transport }

// RoundTrip implements http.RoundTripper.
func (s *stayer) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := s.Transport.RoundTrip(r)
	if err != nil || resp.StatusCode < 300 || resp.StatusCode > 399 {
		return resp, err
	}
	to, err := resp.Location()
	if err != nil || strings.EqualFold(to.Host, r.URL.Host) {
		return resp, nil //nolint:nilerr // without a Location there is nothing to follow
	}
	_ = resp.Body.Close()
	return nil, errors.New("the server redirects to another host; certroll does not follow")
}

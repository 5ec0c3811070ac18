package dnschild

import (
	"crypto/tls"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// ProxyVariable names the proxy that the parent confines this process to; the
// parent sets it for DNS accounts of the config repo. An account cannot: no
// provider has a variable that begins with CERTROLL_.
const ProxyVariable = "CERTROLL_DNS_GATEWAY"

// Confine sends what goes through net/http's default transport, and its clones,
// through a proxy, addresses of this machine included, which the environment's
// proxy is not asked for. A redirect to another host is an error that holds
// nothing of the answer.
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
	// Without this it would register HTTP/2 for https in the stayer's place.
	t.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	inner := &stayer{&http.Transport{
		Proxy: t.Proxy, ForceAttemptHTTP2: true, MaxIdleConns: 100, IdleConnTimeout: 90 * time.Second,
		TLSHandshakeTimeout: 10 * time.Second, ExpectContinueTimeout: time.Second,
	}}
	t.RegisterProtocol("http", inner)
	t.RegisterProtocol("https", inner)
	return nil
}

// stayer lets no answer through that redirects to another host.
type stayer struct{ *http.Transport }

// RoundTrip is http.RoundTripper's.
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

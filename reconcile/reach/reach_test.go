package reach

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"certroll/spec"
)

func dialer(t *testing.T, allow ...string) *Dialer {
	t.Helper()
	rules, why := spec.ParseProbeRules(allow)
	if why != "" {
		t.Fatal(why)
	}
	return &Dialer{Dials: rules.Dials, Allow: "trust.endpoints"}
}

// TestDial checks that a dial judges the address and not the name, makes no connection
// to a denied one, and reveals no address.
func TestDial(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	at := netip.MustParseAddrPort(l.Addr().String())
	touched := make(chan struct{}, 8)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			touched <- struct{}{}
			conn.Close()
		}
	}()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for _, address := range []string{l.Addr().String(), "localhost:" + port, "[::ffff:127.0.0.1]:" + port} {
		for _, allow := range [][]string{nil, {"**:*"}, {"127.0.0.1:1"}} {
			_, err := dialer(t, allow...).DialContext(t.Context(), "tcp", address)
			var denied *DeniedError
			if !errors.As(err, &denied) || strings.Contains(denied.Host, "::1") {
				t.Errorf("%s by %v: %v", address, allow, err)
			}
		}
		conn, err := dialer(t, "127.0.0.0/8:*").DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Errorf("%s is allowed: %v", address, err)
			continue
		}
		conn.Close()
		<-touched
	}
	select {
	case <-touched:
		t.Errorf("it connected to %s", at)
	default:
	}
}

// TestTransport checks that the operator's proxy may have any address, and gets no
// request for a denied one.
func TestTransport(t *testing.T) {
	asked := make(chan string, 1)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.String()
		_, _ = io.WriteString(w, "through")
	}))
	defer proxy.Close()
	for _, name := range []string{"http_proxy", "HTTP_PROXY"} {
		t.Setenv(name, proxy.URL)
	}
	for _, name := range []string{"no_proxy", "NO_PROXY", "https_proxy", "HTTPS_PROXY", "REQUEST_METHOD"} {
		t.Setenv(name, "")
	}
	transport := &http.Transport{}
	dialer(t).Transport(transport)
	client := &http.Client{Transport: transport}
	resp, err := client.Get("http://ca.example.com/directory")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := <-asked; got != "http://ca.example.com/directory" {
		t.Errorf("the proxy was asked for %s", got)
	}
	var denied *DeniedError
	if _, err := client.Get("http://10.0.0.1/latest"); !errors.As(err, &denied) {
		t.Errorf("a private address by the proxy: %v", err)
	}
	if _, err := client.Get("http://127.0.0.1:1/latest"); !errors.As(err, &denied) {
		t.Errorf("a loopback address: %v", err)
	}
}

package probe

import (
	"bufio"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"certroll/spec"
)

// selfSigned returns a pair with a unique common name.
func selfSigned(t *testing.T, key crypto.Signer, serial int64) tls.Certificate {
	t.Helper()
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(serial), DNSNames: []string{"api.lab.test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func pairs(t *testing.T) (ec, rs tls.Certificate) {
	t.Helper()
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return selfSigned(t, e, 1), selfSigned(t, r, 2)
}

// listen calls serve for each connection to an address and then closes the connection.
func listen(t *testing.T, address string, serve func(net.Conn)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn)
			}()
		}
	}()
	return netip.MustParseAddrPort(l.Addr().String())
}

// shake returns a server that completes a handshake and waits for the client to close.
func shake(config *tls.Config) func(net.Conn) {
	return func(conn net.Conn) {
		s := tls.Server(conn, config)
		if s.Handshake() == nil {
			io.Copy(io.Discard, s)
		}
	}
}

func loopback(t *testing.T, o Options) *Prober {
	t.Helper()
	rules, why := spec.ParseProbeRules([]string{"127.0.0.0/8:*"})
	if why != "" {
		t.Fatal(why)
	}
	o.Rules = rules
	return New(o)
}

func endpoint(at netip.AddrPort, protocol spec.Protocol) spec.Probe {
	return spec.Probe{Protocol: protocol, Host: at.Addr().String(), Port: at.Port(), ServerName: "api.lab.test"}
}

// TestServed checks what a probe reads with each protocol and version, from servers
// with two certificates and from servers that require a client certificate.
func TestServed(t *testing.T) {
	ec, rs := pairs(t)
	both := []tls.Certificate{ec, rs}
	says := func(lines ...string) func(net.Conn) {
		return func(conn net.Conn) {
			r := bufio.NewReader(conn)
			for i, line := range lines {
				if i > 0 {
					if said, err := r.ReadString('\n'); err != nil || !strings.Contains(strings.ToUpper(said), [...]string{"", "EHLO", "STARTTLS"}[min(i, 2)]) && !strings.HasPrefix(said, "a STARTTLS") {
						fmt.Fprintf(conn, "500 %q is not what was awaited\r\n", said)
						return
					}
				}
				io.WriteString(conn, line)
			}
			shake(&tls.Config{Certificates: []tls.Certificate{ec}})(conn)
		}
	}
	for name, test := range map[string]struct {
		server   func(net.Conn)
		protocol spec.Protocol
		want     spec.Algorithm
		serial   int64
		err      string
	}{
		"TLS 1.3":                  {server: shake(&tls.Config{Certificates: both[:1], MinVersion: tls.VersionTLS13}), serial: 1},
		"TLS 1.2":                  {server: shake(&tls.Config{Certificates: both[1:], MaxVersion: tls.VersionTLS12}), want: spec.RSA, serial: 2},
		"of two the ECDSA":         {server: shake(&tls.Config{Certificates: []tls.Certificate{rs, ec}}), want: spec.ECDSA, serial: 1},
		"of two the RSA":           {server: shake(&tls.Config{Certificates: both}), want: spec.RSA, serial: 2},
		"of two by TLS 1.3 alone":  {server: shake(&tls.Config{Certificates: both, MinVersion: tls.VersionTLS13}), want: spec.RSA, serial: 1},
		"another algorithm":        {server: shake(&tls.Config{Certificates: both[1:]}), want: spec.ECDSA, serial: 2},
		"wants ours by TLS 1.2":    {server: shake(&tls.Config{Certificates: both[:1], ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12}), serial: 1},
		"wants ours by TLS 1.3":    {server: shake(&tls.Config{Certificates: both[:1], ClientAuth: tls.RequireAnyClientCert}), serial: 1},
		"SMTP":                     {server: says("220-lab\r\n220 ESMTP\r\n", "250-lab\r\n250 STARTTLS\r\n", "220 go\r\n"), protocol: spec.SMTP, serial: 1},
		"SMTP that has no TLS":     {server: says("220 lab\r\n", "250 lab\r\n", "454 TLS not available\r\n"), protocol: spec.SMTP, err: "454"},
		"SMTP that is busy":        {server: says("421 too many\r\n"), protocol: spec.SMTP, err: "its greeting: 421"},
		"SMTP that goes on":        {server: says("220 lab\r\n", "250 STARTTLS\r\n", "220 go\r\n250 injected\r\n"), protocol: spec.SMTP, err: "went on talking"},
		"SMTP that never ends":     {server: func(c net.Conn) { io.Copy(c, endless{}) }, protocol: spec.SMTP, err: "asking"},
		"IMAP":                     {server: says("* OK lab\r\n", "* CAPABILITY IMAP4rev1\r\na OK go\r\n"), protocol: spec.IMAP, serial: 1},
		"IMAP that has no TLS":     {server: says("* OK lab\r\n", "a BAD no\r\n"), protocol: spec.IMAP, err: "it answered: a BAD no"},
		"IMAP that says good-bye":  {server: says("* BYE lab\r\n"), protocol: spec.IMAP, err: "* BYE lab"},
		"PostgreSQL":               {server: postgres("S", ec), protocol: spec.Postgres, serial: 1},
		"PostgreSQL without TLS":   {server: postgres("N", ec), protocol: spec.Postgres, err: `'N' to the SSLRequest`},
		"no TLS":                   {server: func(c net.Conn) { io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") }, err: "does not look like a TLS handshake"},
		"closes":                   {server: func(net.Conn) {}, err: "shaking hands with 127.0.0.1"},
		"a name that is not known": {server: shake(&tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, errors.New("who?") }}), err: "remote error"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := listen(t, "127.0.0.1:0", test.server)
			protocol, want := test.protocol, test.want
			if protocol == "" {
				protocol = spec.PlainTLS
			}
			if want == "" {
				want = spec.ECDSA
			}
			served, err := loopback(t, Options{}).Served(t.Context(), endpoint(at, protocol), want)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Fatalf("served %v, error %v, want one with %q", served, err, test.err)
				}
				return
			}
			if err != nil || len(served) != 1 || served["127.0.0.1"][0].SerialNumber.Int64() != test.serial {
				t.Fatalf("served %v (%v), want the serial %d", served, err, test.serial)
			}
		})
	}
}

// endless is a reader of one endless line.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '2'
	}
	return len(p), nil
}

func postgres(answer string, pair tls.Certificate) func(net.Conn) {
	return func(conn net.Conn) {
		var asked [8]byte
		if _, err := io.ReadFull(conn, asked[:]); err != nil || asked != [8]byte{0, 0, 0, 8, 4, 210, 22, 47} {
			return
		}
		io.WriteString(conn, answer)
		shake(&tls.Config{Certificates: []tls.Certificate{pair}})(conn)
	}
}

// TestServerName checks that a probe sends the server name, and none for an address.
func TestServerName(t *testing.T) {
	ec, _ := pairs(t)
	asked := make(chan string, 2)
	at := listen(t, "127.0.0.1:0", shake(&tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		asked <- hello.ServerName
		return &ec, nil
	}}))
	for _, name := range []string{"api.lab.test", ""} {
		e := endpoint(at, spec.PlainTLS)
		e.ServerName = name
		if _, err := loopback(t, Options{}).Served(t.Context(), e, spec.ECDSA); err != nil {
			t.Fatal(err)
		}
		if got := <-asked; got != name {
			t.Errorf("%q was asked for, want %q", got, name)
		}
	}
}

// TestEveryAddress checks that a probe contacts every address of a name, and that an
// unreachable one hides none.
func TestEveryAddress(t *testing.T) {
	ec, rs := pairs(t)
	at := listen(t, "127.0.0.1:0", shake(&tls.Config{Certificates: []tls.Certificate{ec}}))
	listen(t, fmt.Sprintf("127.0.0.2:%d", at.Port()), shake(&tls.Config{Certificates: []tls.Certificate{rs}}))
	var hosts []string
	found := []string{"127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.1"}
	p := loopback(t, Options{Lookup: func(_ context.Context, network, host string) (list []netip.Addr, err error) {
		hosts = append(hosts, network+" "+host)
		for _, addr := range found {
			list = append(list, netip.MustParseAddr(addr))
		}
		return list, nil
	}})
	e := spec.Probe{Protocol: spec.PlainTLS, Host: "api.lab.test", Port: at.Port()}
	served, err := p.Served(t.Context(), e, spec.ECDSA)
	if err != nil || len(served) != 2 || served["127.0.0.1"][0].SerialNumber.Int64() != 1 || served["127.0.0.2"][0].SerialNumber.Int64() != 2 {
		t.Errorf("served %v (%v)", served, err)
	}
	found = []string{"127.0.0.3"}
	if _, err := p.Served(t.Context(), e, spec.ECDSA); err == nil || !strings.Contains(err.Error(), "connecting to api.lab.test:") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("of nobody it says %v", err)
	}
	if len(hosts) != 2 || hosts[0] != "ip api.lab.test" {
		t.Errorf("looked up were %v", hosts)
	}
}

// TestDenied checks that a probe judges a name by its addresses, makes no connection to
// a denied one, and reveals no address.
func TestDenied(t *testing.T) {
	touched := make(chan struct{}, 1)
	at := listen(t, "127.0.0.1:0", func(net.Conn) { touched <- struct{}{} })
	for _, allow := range [][]string{nil, {"**:*"}, {"api.lab.test:*"}, {"127.0.0.1:1"}, {"10.0.0.0/8:*"}} {
		rules, why := spec.ParseProbeRules(allow)
		if why != "" {
			t.Fatal(why)
		}
		p := New(Options{Rules: rules, Lookup: func(context.Context, string, string) ([]netip.Addr, error) {
			return []netip.Addr{at.Addr(), netip.MustParseAddr("::ffff:127.0.0.1")}, nil
		}})
		_, err := p.Served(t.Context(), spec.Probe{Protocol: spec.PlainTLS, Host: "api.lab.test", Port: at.Port()}, spec.ECDSA)
		var denied *DeniedError
		if !errors.As(err, &denied) || !denied.Denied() || strings.Contains(err.Error(), "127.") {
			t.Errorf("by %v it ended with %v", allow, err)
		}
	}
	select {
	case <-touched:
		t.Error("it connected")
	default:
	}
}

// TestPatience checks that a probe gives up on a silent server and ends when it is
// interrupted.
func TestPatience(t *testing.T) {
	quiet := make(chan struct{})
	defer close(quiet)
	at := listen(t, "127.0.0.1:0", func(net.Conn) { <-quiet })
	p := loopback(t, Options{Timeout: 50 * time.Millisecond})
	for _, protocol := range []spec.Protocol{spec.PlainTLS, spec.SMTP} {
		if _, err := p.Served(t.Context(), endpoint(at, protocol), spec.ECDSA); err == nil {
			t.Errorf("%s: a server that says nothing served something", protocol)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := loopback(t, Options{Timeout: time.Hour}).Served(ctx, endpoint(at, spec.IMAP), spec.ECDSA); err == nil || ctx.Err() == nil {
		t.Errorf("an end is none: %v", err)
	}
	p = New(Options{Lookup: func(context.Context, string, string) ([]netip.Addr, error) {
		return nil, &net.DNSError{Err: "no such host", Name: "gone.lab.test", Server: "10.9.8.7:53"}
	}})
	if _, err := p.Served(t.Context(), spec.Probe{Host: "gone.lab.test", Port: 1}, spec.ECDSA); err == nil || err.Error() != "looking up gone.lab.test: no such host" {
		t.Errorf("of a name that is not there it says %v", err)
	}
}

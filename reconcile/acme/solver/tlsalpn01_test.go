package solver

import (
	"net"
	"testing"
	"time"
)

// accepting is a listener that signals when it has accepted a connection.
type accepting struct {
	net.Listener
	accepted chan struct{}
}

func (l *accepting) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		close(l.accepted)
	}
	return conn, err
}

// TestSilentConnection checks that a connection that sends nothing, as port scanners
// and health checks open, does not delay the shutdown of the listener.
func TestSilentConnection(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln := &accepting{inner, make(chan struct{})}
	stop := serveTLS(&listening{}, ln)
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	<-ln.accepted
	start := time.Now()
	stop()
	if d := time.Since(start); d > connTimeout/2 {
		t.Errorf("the listener took %s to end", d)
	}
}

func TestServerName(t *testing.T) {
	for identifier, want := range map[string]string{
		"WWW.example.com": "www.example.com", "192.0.2.1": "1.2.0.192.in-addr.arpa",
		"2001:db8::1": "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
	} {
		if got := serverName(identifier); got != want {
			t.Errorf("%s: got %s, want %s", identifier, got, want)
		}
	}
}

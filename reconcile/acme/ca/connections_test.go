package ca

import (
	"context"
	"errors"
	"net"
	"net/http"
	"testing"
)

// TestDialAfterClose checks that a dial whose caller has given up leaves no open
// connection.
func TestDialAfterClose(t *testing.T) {
	here, there := net.Pipe()
	dialing, closed := make(chan struct{}), make(chan struct{})
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		close(dialing)
		<-closed
		return here, nil
	}}
	c := connectionsOf(transport)
	dialed := make(chan error, 1)
	go func() {
		_, err := transport.DialContext(t.Context(), "tcp", "ca.example.com:443")
		dialed <- err
	}()
	<-dialing
	c.close()
	close(closed)
	if err := <-dialed; !errors.Is(err, net.ErrClosed) {
		t.Errorf("the dial ended with %v, want net.ErrClosed", err)
	}
	if _, err := there.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is still open")
	}
}

package failure_test

import (
	"fmt"
	"net"
	"net/url"
	"testing"

	"certroll/reconcile/failure"
)

// TestMessageHasNoResolver checks that the message of a failed lookup, which is
// committed to Git, names the host and the cause but not this machine's resolver.
func TestMessageHasNoResolver(t *testing.T) {
	dial := &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "crl.example.com", Server: "10.9.8.7:53", IsNotFound: true}}
	err := fmt.Errorf("fetching a CRL: %w", &url.Error{Op: "Get", URL: "http://crl.example.com/1.crl", Err: dial})
	const want = `fetching a CRL: Get "http://crl.example.com/1.crl": dial tcp: lookup crl.example.com: no such host`
	if got := failure.Message(err); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

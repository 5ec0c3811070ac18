package solver

import (
	"net"
	"testing"

	"certroll/spec"
)

// TestServersDoNotWaitForEachOther checks that a listener that stops slowly does not
// delay the listeners of other addresses.
func TestServersDoNotWaitForEachOther(t *testing.T) {
	s := newServers()
	stopping, stopped := make(chan struct{}), make(chan struct{})
	slow := func(_ *listening, ln net.Listener) func() {
		return func() { _ = ln.Close(); close(stopping); <-stopped }
	}
	quick := func(_ *listening, ln net.Listener) func() { return func() { _ = ln.Close() } }
	_, leave, err := s.use(t.Context(), spec.HTTP01, "127.0.0.1:0", slow)
	if err != nil {
		t.Fatal(err)
	}
	left := make(chan struct{})
	go func() { defer close(left); leave() }()
	<-stopping
	_, leave, err = s.use(t.Context(), spec.TLSALPN01, "127.0.0.1:0", quick)
	if err != nil {
		t.Fatal(err)
	}
	leave()
	close(stopped)
	<-left
	if len(s.open) != 0 {
		t.Errorf("still open: %v", s.open)
	}
}

package redact_test

import (
	"errors"
	"net"
	"net/netip"
	"testing"

	"certroll/spec/redact"
)

// TestNetwork: redaction removes this machine's addresses from errors of package net, and nothing else.
func TestNetwork(t *testing.T) {
	local, remote := net.TCPAddrFromAddrPort(netip.MustParseAddrPort("192.0.2.7:41234")), net.TCPAddrFromAddrPort(netip.MustParseAddrPort("[2001:db8::1]:443"))
	lookup := func(server string) error {
		return &net.DNSError{Err: "server misbehaving", Name: "crl.example.com", Server: server}
	}
	for _, c := range []struct {
		err  error
		want string
	}{
		{lookup("127.0.0.53:53"), "lookup crl.example.com: server misbehaving"},
		{lookup("[fe80::1%eth0]:53"), "lookup crl.example.com: server misbehaving"},
		{lookup(""), "lookup crl.example.com: server misbehaving"},
		{&net.OpError{Op: "dial", Net: "tcp", Err: lookup("10.0.0.2:53")}, "dial tcp: lookup crl.example.com: server misbehaving"},
		{&net.OpError{Op: "read", Net: "udp", Source: local, Addr: remote, Err: errors.New("i/o timeout")}, "read udp [2001:db8::1]:443: i/o timeout"},
		{&net.OpError{Op: "read", Net: "tcp", Source: local, Addr: remote, Err: errors.New("connection reset by peer")}, "read tcp [2001:db8::1]:443: connection reset by peer"},
		{&net.OpError{Op: "dial", Net: "tcp", Addr: remote, Err: errors.New("connection refused")}, "dial tcp [2001:db8::1]:443: connection refused"},
		{errors.New("the resolver on 192.0.2.1:53 answers"), "the resolver on 192.0.2.1:53 answers"},
	} {
		if got := redact.Network(c.err.Error()); got != c.want {
			t.Errorf("%s becomes %s, want %s", c.err, got, c.want)
		}
	}
}

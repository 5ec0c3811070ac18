package dnsquery

import (
	"net"
	"testing"

	"github.com/miekg/dns"

	"certroll/spec"
)

func TestNameservers(t *testing.T) {
	a := &spec.DNSAccount{Propagation: spec.Propagation{Nameservers: []string{"192.0.2.1", "192.0.2.2:5353", "2001:db8::1", "[2001:db8::2]:53", "ns.example.com"}}}
	want := []string{"192.0.2.1:53", "192.0.2.2:5353", "[2001:db8::1]:53", "[2001:db8::2]:53", "ns.example.com:53"}
	got := Nameservers(a)
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got %s, want %s", got[i], want[i])
		}
	}
	if len(Nameservers(&spec.DNSAccount{})) == 0 {
		t.Error("the system's resolvers are none")
	}
}

func TestLookIsComplete(t *testing.T) {
	yes, no, silent := view{ok: true}, view{}, view{silent: true}
	tests := map[string]struct {
		views []view
		want  bool
	}{
		"all see it":       {[]view{yes, yes}, true},
		"one does not":     {[]view{yes, no}, false},
		"one is silent":    {[]view{yes, silent}, true},
		"all are silent":   {[]view{silent, silent}, false},
		"nobody was asked": {nil, false},
	}
	for name, test := range tests {
		if got := (Look{views: test.views}).Complete(); got != test.want {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
}

// TestNameserverWithoutAddress checks that a name server whose address cannot be
// resolved counts as down.
func TestNameserverWithoutAddress(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	answer := func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		switch q.Question[0] {
		case dns.Question{Name: "ns1.example.com.", Qtype: dns.TypeA, Qclass: dns.ClassINET}:
			m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: "ns1.example.com.", Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.IPv4(192, 0, 2, 1)}}
		default:
			m.Rcode = dns.RcodeServerFailure
		}
		_ = w.WriteMsg(m) // if this fails, the test fails too
	}
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(answer)}
	done := make(chan error)
	go func() { done <- server.ActivateAndServe() }()
	defer func() { _ = conn.Close(); <-done }()

	r := &dns.Msg{}
	for _, host := range []string{"ns1.example.com.", "ns2.example.com."} {
		r.Answer = append(r.Answer, &dns.NS{Hdr: dns.RR_Header{Name: "example.com.", Rrtype: dns.TypeNS}, Ns: host})
	}
	got, err := addressed(t.Context(), []string{conn.LocalAddr().String()}, "example.com.", r)
	if err != nil || len(got) != 2 || len(got[0].addresses) != 1 || len(got[1].addresses) != 0 {
		t.Fatalf("got %v and %v, want both servers and an address of the first", got, err)
	}
	if v := got[1].view(t.Context(), "_acme-challenge.example.com.", nil); !v.silent {
		t.Errorf("got %+v, want it to hold nobody up", v)
	}
}

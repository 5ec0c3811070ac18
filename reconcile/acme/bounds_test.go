package acme

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"certroll/examples/lab"
	"certroll/examples/lab/labtest"
	"certroll/spec"

	"github.com/go-acme/lego/v4/acme/api"
	"github.com/miekg/dns"
)

// Many certificates at once need few nonces, which Let's Encrypt gives out
// sparingly.
func TestRequestsAreBounded(t *testing.T) {
	r := newRig(t, lab.PebbleOptions{})
	f := &faulty{}
	var nonces atomic.Int64
	f.answer = func(req *http.Request) *http.Response {
		if req.Method == http.MethodHead {
			nonces.Add(1)
		}
		return nil
	}
	r.opts.Transport = func(next http.RoundTripper) http.RoundTripper { f.next = next; return f }
	c := r.client()
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			if _, _, err := c.Order(t.Context(), r.issuer, []string{fmt.Sprintf("b%d.lab.test", i)}, ""); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := nonces.Load(); n > requestsAtOnce+1 { // one is the new account's
		t.Errorf("40 orders asked for %d nonces", n)
	}

	s, err := c.accounts.session(t.Context(), r.issuer)
	if err != nil {
		t.Fatal(err)
	}
	release, arrived := make(chan struct{}), make(chan struct{})
	for range requestsAtOnce {
		wg.Go(func() {
			_, err := s.call(t.Context(), "holding", func(*api.Core) error { arrived <- struct{}{}; <-release; return nil })
			if err != nil {
				t.Error(err)
			}
		})
	}
	for range requestsAtOnce {
		<-arrived
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = s.call(ctx, "waiting", func(*api.Core) error { t.Error("a request more than allowed was made"); return nil })
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the end of the time", err)
	}
	close(release)
	wg.Wait()
}

// The waiting of many names is side by side though their requests are not.
func TestManyNamesSideBySide(t *testing.T) {
	r := newRig(t, lab.PebbleOptions{})
	r.opts.PresentRetry = []time.Duration{} // a write tried again would count twice
	h := newWebhook(r)
	h.gather = 30
	a := h.account(t, r, "hook")
	a.Parallel = h.gather
	var names []string
	for i := range h.gather {
		names = append(names, fmt.Sprintf("m%d.lab.test", i))
	}
	r.issue(r.client(), []*spec.DNSAccount{a}, names...)
	r.clean()
}

func TestBindingKeyThatIsNoBase64(t *testing.T) {
	r := newRig(t, lab.PebbleOptions{EAB: map[string]string{"kid-1": "ZmFrZS1obWFjLWtleS1mb3ItdGVzdHMtb25seS0wMDAx"}})
	hmac := random(t) + "!"
	r.issuer.EAB = &spec.EAB{KeyID: literal("kid-1"), HMAC: literal(hmac)}
	_, _, err := r.client().Order(t.Context(), r.issuer, []string{"eab.lab.test"}, "")
	e := fails(t, err, ClassConfig, false)
	if !strings.Contains(e.Error(), "the eab hmac is not base64url") || strings.Contains(e.Error(), hmac) {
		t.Errorf("the error does not say so, or has the key: %v", e)
	}
}

// The reason for which a name server refuses a TSIG key tells a wrong secret
// from an unknown key, and is lost in lego.
func TestReasonOfARefusedTSIGKey(t *testing.T) {
	bind := labtest.BIND(t, "lab.test")
	wrong := base64.StdEncoding.EncodeToString([]byte(random(t)))
	tests := map[string]struct{ key, secret, want string }{
		"wrong secret": {bind.KeyName, wrong, "BADSIG"},
		"unknown key":  {"other-key.", bind.Secret, "BADKEY"},
	}
	c := New(newMemory(), Options{Child: command(t)})
	defer func() { _ = c.Close() }()
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			a := account("bind", nameserver{bind.Addr, test.key, test.secret, bind.Algorithm})
			p, err := c.providers.open(t.Context(), a)
			if err != nil {
				t.Fatal(err)
			}
			defer p.release()
			answer := proof{domain: "refused.lab.test", token: "token", keyAuth: "token.thumbprint"}
			e := fails(t, p.present(t.Context(), answer, "_acme-challenge.refused.lab.test."), ClassDNSUnauthorized, false)
			if !strings.Contains(e.Error(), "NOTAUTH, "+test.want) || strings.Contains(e.Error(), test.secret) {
				t.Errorf("the error lacks the server's %q, or has the secret: %v", test.want, e)
			}
		})
	}
}

// One name server whose address cannot be found counts as one that is down.
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
		_ = w.WriteMsg(m) // the test fails by itself without
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

package lab_test

import (
	"context"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"

	"certroll/examples/lab"
	"certroll/examples/lab/labtest"
)

// nameServer is the common interface of the lab's two name servers.
type nameServer struct {
	addr, keyName, secret, algorithm string
	challenges                       func() []string
}

// eachNameServer runs one suite on both name servers, so that the fast one
// provably behaves like the real one.
func eachNameServer(t *testing.T, suite func(*testing.T, nameServer)) {
	t.Run("in process", func(t *testing.T) {
		d := labtest.DNS(t, "lab.test", "sub.lab.test")
		suite(t, nameServer{d.Addr, d.KeyName, d.Secret, d.Algorithm, d.Challenges})
	})
	t.Run("BIND", func(t *testing.T) {
		b := labtest.BIND(t, "lab.test", "sub.lab.test")
		suite(t, nameServer{b.Addr, b.KeyName, b.Secret, b.Algorithm, func() []string {
			names, err := b.Challenges(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return names
		}})
	})
}

func (s nameServer) ask(t *testing.T, network, name string, rrtype uint16) *dns.Msg {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(name), rrtype)
	reply, _, err := (&dns.Client{Net: network}).ExchangeContext(t.Context(), m, s.addr)
	if err != nil {
		t.Fatalf("asking for %s %s: %v", name, dns.TypeToString[rrtype], err)
	}
	return reply
}

// send sends a signed update; an empty secret leaves the signature out.
func (s nameServer) send(t *testing.T, secret string, m *dns.Msg) int {
	t.Helper()
	client := &dns.Client{Net: "tcp"}
	if secret != "" {
		m.SetTsig(s.keyName, s.algorithm, 300, time.Now().Unix())
		client.TsigSecret = map[string]string{s.keyName: secret}
	}
	reply, _, err := client.ExchangeContext(t.Context(), m, s.addr)
	if reply == nil {
		t.Fatalf("sending an update: %v", err)
	}
	return reply.Rcode
}

func (s nameServer) update(t *testing.T, zone string, change func(*dns.Msg)) int {
	t.Helper()
	m := new(dns.Msg)
	m.SetUpdate(zone)
	change(m)
	return s.send(t, s.secret, m)
}

func (s nameServer) txt(t *testing.T, name string) []string {
	t.Helper()
	var texts []string
	for _, rr := range s.ask(t, "udp", name, dns.TypeTXT).Answer {
		if txt, ok := rr.(*dns.TXT); ok {
			texts = append(texts, txt.Txt...)
		}
	}
	slices.Sort(texts)
	return texts
}

func record(t *testing.T, text string) []dns.RR {
	t.Helper()
	rr, err := dns.NewRR(text)
	if err != nil {
		t.Fatal(err)
	}
	return []dns.RR{rr}
}

const challenge = "_acme-challenge.www.lab.test."

func TestUpdates(t *testing.T) {
	eachNameServer(t, func(t *testing.T, s nameServer) {
		one, two := challenge+` 60 IN TXT "one"`, challenge+` 60 IN TXT "two"`
		steps := []struct {
			name   string
			change func(*dns.Msg)
			code   int
			want   []string
		}{
			{"insert", func(m *dns.Msg) { m.Insert(record(t, one)) }, dns.RcodeSuccess, []string{"one"}},
			{"insert again", func(m *dns.Msg) { m.Insert(record(t, one)) }, dns.RcodeSuccess, []string{"one"}},
			{"insert another", func(m *dns.Msg) { m.Insert(record(t, two)) }, dns.RcodeSuccess, []string{"one", "two"}},
			{"remove one", func(m *dns.Msg) { m.Remove(record(t, one)) }, dns.RcodeSuccess, []string{"two"}},
			{"replace the set", func(m *dns.Msg) { m.RemoveRRset(record(t, one)); m.Insert(record(t, one)) }, dns.RcodeSuccess, []string{"one"}},
			{"unmet: set must be absent", func(m *dns.Msg) { m.RRsetNotUsed(record(t, one)); m.Insert(record(t, two)) }, dns.RcodeYXRrset, []string{"one"}},
			{"unmet: name must be absent", func(m *dns.Msg) { m.NameNotUsed(record(t, one)); m.Insert(record(t, two)) }, dns.RcodeYXDomain, []string{"one"}},
			{"met: set must be there", func(m *dns.Msg) { m.RRsetUsed(record(t, one)); m.Insert(record(t, two)) }, dns.RcodeSuccess, []string{"one", "two"}},
			{"outside the zone", func(m *dns.Msg) { m.Insert(record(t, `x.example. 60 IN TXT "no"`)) }, dns.RcodeNotZone, []string{"one", "two"}},
			{"remove the name", func(m *dns.Msg) { m.RemoveName(record(t, one)) }, dns.RcodeSuccess, nil},
			{"unmet: set must be there", func(m *dns.Msg) { m.RRsetUsed(record(t, one)); m.Insert(record(t, two)) }, dns.RcodeNXRrset, nil},
		}
		for _, step := range steps {
			if code := s.update(t, "lab.test.", step.change); code != step.code {
				t.Errorf("%s: got %s, want %s", step.name, dns.RcodeToString[code], dns.RcodeToString[step.code])
			}
			if got := s.txt(t, challenge); !slices.Equal(got, step.want) {
				t.Errorf("%s: TXT is %q, want %q", step.name, got, step.want)
			}
		}
		if got := s.challenges(); len(got) != 0 {
			t.Errorf("names with TXT records at the end: %q", got)
		}
	})
}

func TestUpdatesAreRefused(t *testing.T) {
	eachNameServer(t, func(t *testing.T, s nameServer) {
		cases := map[string]struct {
			zone, secret string
			code         int
		}{
			"unsigned":     {"lab.test.", "", dns.RcodeRefused},
			"wrong secret": {"lab.test.", "bm90IHRoZSBzZWNyZXQ=", dns.RcodeNotAuth},
			"foreign zone": {"example.", s.secret, dns.RcodeNotAuth},
		}
		for name, c := range cases {
			m := new(dns.Msg)
			m.SetUpdate(c.zone)
			m.Insert(record(t, "_acme-challenge.www."+c.zone+` 60 IN TXT "no"`))
			if code := s.send(t, c.secret, m); code != c.code {
				t.Errorf("%s: got %s, want %s", name, dns.RcodeToString[code], dns.RcodeToString[c.code])
			}
		}
		if got := s.challenges(); len(got) != 0 {
			t.Errorf("refused updates left records at %q", got)
		}
	})
}

func TestAnswers(t *testing.T) {
	eachNameServer(t, func(t *testing.T, s nameServer) {
		for _, network := range []string{"udp", "tcp"} {
			reply := s.ask(t, network, "any.lab.test", dns.TypeA)
			if len(reply.Answer) != 1 || !reply.Answer[0].(*dns.A).A.Equal(net.IPv4(127, 0, 0, 1)) {
				t.Errorf("%s: any.lab.test is %v, want 127.0.0.1", network, reply.Answer)
			}
		}
		for _, rrtype := range []uint16{dns.TypeSOA, dns.TypeNS} {
			if reply := s.ask(t, "udp", "sub.lab.test", rrtype); len(reply.Answer) != 1 || !reply.Authoritative {
				t.Errorf("apex %s: %v", dns.TypeToString[rrtype], reply.Answer)
			}
		}
		// A client finds the zone of a name by the SOA in the authority section.
		reply := s.ask(t, "udp", "x.sub.lab.test", dns.TypeSOA)
		if len(reply.Ns) != 1 || reply.Ns[0].Header().Name != "sub.lab.test." {
			t.Errorf("SOA of x.sub.lab.test: authority %v, want that of sub.lab.test.", reply.Ns)
		}
		if reply := s.ask(t, "udp", "example.com", dns.TypeA); reply.Rcode != dns.RcodeRefused {
			t.Errorf("a foreign name: got %s, want REFUSED", dns.RcodeToString[reply.Rcode])
		}
		s.update(t, "lab.test.", func(m *dns.Msg) {
			m.Insert(record(t, challenge+" 60 IN CNAME target.lab.test."))
			m.Insert(record(t, `target.lab.test. 60 IN TXT "there"`))
		})
		if got := s.txt(t, challenge); !slices.Equal(got, []string{"there"}) {
			t.Errorf("TXT through a CNAME: got %q, want \"there\"", got)
		}
	})
}

func TestFaults(t *testing.T) {
	d := labtest.DNS(t, "lab.test")
	s := nameServer{d.Addr, d.KeyName, d.Secret, d.Algorithm, d.Challenges}
	insert := func(m *dns.Msg) { m.Insert(record(t, challenge+` 60 IN TXT "x"`)) }
	for fault, code := range map[lab.Fault]int{lab.Refuse: dns.RcodeRefused, lab.ServFail: dns.RcodeServerFailure, lab.Swallow: dns.RcodeSuccess} {
		d.FailUpdates(fault)
		if got := s.update(t, "lab.test.", insert); got != code {
			t.Errorf("fault %d on update: got %s, want %s", fault, dns.RcodeToString[got], dns.RcodeToString[code])
		}
		d.FailQueries(fault)
		if got := s.ask(t, "udp", "www.lab.test", dns.TypeA); got.Rcode != code || len(got.Answer) != 0 {
			t.Errorf("fault %d on query: got %s with %d answers", fault, dns.RcodeToString[got.Rcode], len(got.Answer))
		}
	}
	if got := d.TXT(challenge); len(got) != 0 {
		t.Errorf("failed updates stored %q", got)
	}
	d.FailQueries(lab.Drop)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	m := new(dns.Msg)
	m.SetQuestion("www.lab.test.", dns.TypeA)
	if _, _, err := new(dns.Client).ExchangeContext(ctx, m, d.Addr); err == nil {
		t.Error("a dropped query was answered")
	}
	if got := d.Asked("www.lab.test", "A"); got != 4 {
		t.Errorf("www.lab.test was asked for %d times, want 4", got)
	}
}

func TestLagHidesUpdates(t *testing.T) {
	d := labtest.DNS(t, "lab.test")
	s := nameServer{d.Addr, d.KeyName, d.Secret, d.Algorithm, d.Challenges}
	d.SetLag(time.Hour)
	s.update(t, "lab.test.", func(m *dns.Msg) { m.Insert(record(t, challenge+` 60 IN TXT "late"`)) })
	if got := s.txt(t, challenge); len(got) != 0 {
		t.Errorf("queries see %q before the lag is over", got)
	}
	if got := d.TXT(challenge); !slices.Equal(got, []string{"late"}) {
		t.Errorf("the server holds %q, want \"late\"", got)
	}
}

// TestCNAMEsLeadFromZoneToZone: the in-process server also serves as a
// resolver. BIND does not, without recursion.
func TestCNAMEsLeadFromZoneToZone(t *testing.T) {
	d := labtest.DNS(t, "lab.test", "other.test")
	if err := d.Add(challenge+" 60 IN CNAME target.other.test.", `target.other.test. 60 IN TXT "there"`); err != nil {
		t.Fatal(err)
	}
	s := nameServer{d.Addr, d.KeyName, d.Secret, d.Algorithm, d.Challenges}
	if got := s.txt(t, challenge); !slices.Equal(got, []string{"there"}) {
		t.Errorf("TXT through a CNAME: got %q, want \"there\"", got)
	}
	if err := d.Add("a.example. 60 IN A 127.0.0.1"); err == nil {
		t.Error("a record outside all zones was taken")
	}
}

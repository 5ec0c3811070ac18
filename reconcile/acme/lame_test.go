package acme

import (
	"errors"
	"strings"
	"testing"
	"time"

	"certroll/examples/lab"
	"certroll/spec"

	"github.com/miekg/dns"
)

// A name server that is lame in whatever way blocks no certificate, and is a warning
// of the canary.
func TestLameServersDoNotBlock(t *testing.T) {
	t.Parallel()
	r := newRig(t, lab.PebbleOptions{})
	c := r.client()
	for name, test := range map[string]struct {
		fault lab.Fault
		said  string
	}{
		"refused":  {lab.Refuse, "answered REFUSED"},
		"servfail": {lab.ServFail, "answered SERVFAIL"},
		"silent":   {lab.Drop, "did not answer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			other := nameServer(t, "lab.test")
			other.FailQueries(test.fault)
			a := account("dns", r.server())
			a.Propagation.Nameservers = []string{other.Addr, r.dns.Addr}
			a.Propagation.Timeout = 20 * time.Second
			r.issue(c, []*spec.DNSAccount{a}, name+".lab.test")
			var f *Finding
			err := c.Canary(t.Context(), a, "canary-"+name+".lab.test", nil)
			if !errors.As(err, &f) || f.Severity() != SeverityWarning || f.Account() != "dns" {
				t.Fatalf("the canary found %v, want a warning", err)
			}
			if !strings.Contains(f.Error(), "not by "+other.Addr+" "+test.said) {
				t.Errorf("the warning is %q, want in it %q", f.Error(), test.said)
			}
		})
	}
}

// Only an authoritative answer without the record is waited for.
func TestJudge(t *testing.T) {
	const name = "_acme-challenge.x.lab.test."
	msg := func(rcode int, authoritative bool, values ...string) *dns.Msg {
		m := new(dns.Msg)
		m.Rcode, m.Authoritative = rcode, authoritative
		for _, v := range values {
			m.Answer = append(m.Answer, &dns.TXT{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeTXT, Ttl: 5}, Txt: []string{v}})
		}
		return m
	}
	for what, test := range map[string]struct {
		answer     *dns.Msg
		recurse    bool
		ok, silent bool
	}{
		"the record":                      {msg(dns.RcodeSuccess, true, "v"), false, true, false},
		"another record":                  {msg(dns.RcodeSuccess, true, "w"), false, false, false},
		"no record":                       {msg(dns.RcodeSuccess, true), false, false, false},
		"no such name":                    {msg(dns.RcodeNameError, true), false, false, false},
		"the record, without authority":   {msg(dns.RcodeSuccess, false, "v"), false, true, false},
		"a referral":                      {msg(dns.RcodeSuccess, false), false, false, true},
		"no such name, without authority": {msg(dns.RcodeNameError, false), false, false, true},
		"no record, says a resolver":      {msg(dns.RcodeSuccess, false), true, false, false},
		"no such name, says a resolver":   {msg(dns.RcodeNameError, false), true, false, false},
		"refused":                         {msg(dns.RcodeRefused, false), false, false, true},
		"failing":                         {msg(dns.RcodeServerFailure, true), false, false, true},
		"not its zone":                    {msg(dns.RcodeNotAuth, false), false, false, true},
		"it knows no such question":       {msg(dns.RcodeNotImplemented, false), true, false, true},
	} {
		v := server{label: "ns", recurse: test.recurse}.judge(test.answer, name, []string{"v"})
		if v.ok != test.ok || v.silent != test.silent || v.said == "" {
			t.Errorf("%s: got %+v, want ok %v and passed over %v", what, v, test.ok, test.silent)
		}
	}
}

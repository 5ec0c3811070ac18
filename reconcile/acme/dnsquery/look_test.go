package dnsquery

import (
	"testing"

	"github.com/miekg/dns"
)

// TestJudge checks that the client keeps polling only if an authoritative answer lacks
// the record.
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

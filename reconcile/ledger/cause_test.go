package ledger_test

import (
	"testing"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/times"
)

// TestCause checks that a line shows the upstream's last clause and the owner of the
// failure.
func TestCause(t *testing.T) {
	refused := "writing the TXT record _acme-challenge.x.example.com.: dnsupdate: the name server answers NOTAUTH, BADSIG; check that the credentials are current"
	for message, want := range map[string]string{
		"": "",
		"writing x: DNS update failed: server 127.0.0.1:53 replied REFUSED for INSERT lab.test; see that": "server 127.0.0.1:53 replied REFUSED for INSERT lab.test",
		"asking: the CA answered 429: slow down":                                                          "the CA answered 429: slow down",
		"no colon at all":                                                                                 "no colon at all",
		"a: b":                                                                                            "a: b",
		"the CA says:\nnot you, not today":                                                                "not you, not today",
	} {
		if got := ledger.Cause(message); got != want {
			t.Errorf("%q: %q, want %q", message, got, want)
		}
	}
	for want, f := range map[string]ledger.Failure{
		"dns.bind: the name server answers NOTAUTH, BADSIG": {Class: ledger.ClassDNSUnauthorized, DNSAccount: "bind", Message: refused},
		"caa: the CA may not":                               {Class: ledger.ClassCAA, DNSAccount: "bind", Message: "the CA may not"},
		"dns.bind: dns_unavailable":                         {Class: ledger.ClassDNSUnavailable, DNSAccount: "bind"},
		"what an old ledger says":                           {Message: "what an old ledger says"},
	} {
		if got := f.Cause(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := ledger.WithoutMessage("failure 1 in a row (caa): no no", "no\tno\nand more"); got != "failure 1 in a row (caa)" {
		t.Errorf("%q", got)
	}
	if got := ledger.WithoutMessage("it is due: ", ""); got != "it is due: " {
		t.Errorf("%q", got)
	}
}

// TestEndsUnrenewed checks that a certificate with renewal off is reported before it
// expires, unless its pause ends in time.
func TestEndsUnrenewed(t *testing.T) {
	start := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	in := func(d time.Duration) *time.Time { at := start.Add(d); return &at }
	for name, tc := range map[string]struct {
		life, after time.Duration
		pause       *ledger.Unmanaged
		state       ledger.State
		want        bool
	}{
		"long before":              {90 * times.Day, 59 * times.Day, &ledger.Unmanaged{}, ledger.StateLive, false},
		"a third is left":          {90 * times.Day, 61 * times.Day, &ledger.Unmanaged{}, ledger.StateLive, true},
		"it lives for an hour":     {time.Hour, time.Minute, &ledger.Unmanaged{}, ledger.StateLive, true},
		"a pause that ends sooner": {90 * times.Day, 61 * times.Day, &ledger.Unmanaged{Until: in(70 * times.Day)}, ledger.StateLive, false},
		"one that ends too late":   {90 * times.Day, 61 * times.Day, &ledger.Unmanaged{Until: in(85 * times.Day)}, ledger.StateLive, true},
		"one that is over":         {90 * times.Day, 80 * times.Day, &ledger.Unmanaged{Until: in(70 * times.Day)}, ledger.StateLive, false},
		"it has expired":           {90 * times.Day, 91 * times.Day, &ledger.Unmanaged{}, ledger.StateLive, true},
		"gone from the spec":       {90 * times.Day, 80 * times.Day, &ledger.Unmanaged{}, ledger.StateRetired, false},
	} {
		r := &ledger.Record{State: tc.state, Unmanaged: tc.pause, Live: &ledger.Live{NotBefore: start, NotAfter: start.Add(tc.life - time.Second)}}
		if got := r.EndsUnrenewed(start.Add(tc.after)); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
	if managed := (&ledger.Record{State: ledger.StateLive, RenewAt: in(60 * times.Day), Live: &ledger.Live{NotBefore: start, NotAfter: start.Add(90 * times.Day)}}); managed.EndsUnrenewed(start.Add(80 * times.Day)) {
		t.Error("one that is renewed by itself raises the alarm")
	}
}

package throttle_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/reconcile/reconciletest"
	"certroll/reconcile/throttle"
	"certroll/reconcile/times"
	"certroll/spec"
)

func TestTroubles(t *testing.T) {
	refused := func(c string) ledger.Event {
		return reconciletest.Failed(0, c, ledger.ClassDNSUnauthorized, "lab", "403")
	}
	down := func(c string) ledger.Event { return reconciletest.Failed(0, c, ledger.ClassCAUnavailable, "", "503") }
	limited := func(c, text string) ledger.Event {
		return reconciletest.Failed(0, c, ledger.ClassRateLimited, "", text)
	}
	passed := reconciletest.Succeeded(0, "p", "dr")
	passed.PassedOver = []ledger.PassedOver{{Account: "lab", Class: ledger.ClassDNSUnauthorized, Message: "403"}}
	cases := map[string]struct {
		events []ledger.Event
		open   string // subjects in trouble, in order
	}{
		"nothing":                            {nil, ""},
		"two certificates":                   {[]ledger.Event{refused("a"), refused("b")}, ""},
		"three certificates":                 {[]ledger.Event{refused("a"), refused("b"), refused("c")}, "dns.lab"},
		"one certificate, often":             {[]ledger.Event{refused("a"), refused("a"), refused("a"), refused("a")}, ""},
		"a success in between":               {[]ledger.Event{refused("a"), refused("b"), reconciletest.Succeeded(0, "x", "lab"), refused("c")}, ""},
		"a success after it":                 {[]ledger.Event{refused("a"), refused("b"), refused("c"), reconciletest.Succeeded(0, "x", "lab")}, ""},
		"a success by another account":       {[]ledger.Event{refused("a"), refused("b"), refused("c"), reconciletest.Succeeded(0, "x", "dr")}, "dns.lab"},
		"another class in between":           {[]ledger.Event{refused("a"), refused("b"), reconciletest.Failed(0, "x", ledger.ClassDNSUnavailable, "lab", "timeout"), refused("c")}, ""},
		"passed over by one that worked":     {[]ledger.Event{refused("a"), refused("b"), passed}, "dns.lab"},
		"the CA is down":                     {[]ledger.Event{down("a"), down("b"), down("c")}, "issuer.ca"},
		"the CA is up again, and says no":    {[]ledger.Event{down("a"), down("b"), down("c"), reconciletest.Failed(0, "d", ledger.ClassValidation, "", "no TXT")}, ""},
		"a certificate's own matter":         {[]ledger.Event{reconciletest.Failed(0, "a", ledger.ClassCAA, "", "x"), reconciletest.Failed(0, "b", ledger.ClassCAA, "", "x"), reconciletest.Failed(0, "c", ledger.ClassCAA, "", "x")}, ""},
		"a limit of the account":             {[]ledger.Event{limited("a", "too many new orders"), limited("b", "too many new orders"), limited("c", "too many new orders")}, "issuer.ca"},
		"a limit of one domain":              {[]ledger.Event{limited("a", `too many for "example.com"`), limited("b", `too many for "example.com"`), limited("c", `too many for "example.com"`)}, "issuer.ca for example.com"},
		"a limit of one domain, and success": {[]ledger.Event{limited("a", `"example.com"`), limited("b", `"example.com"`), limited("c", `"example.com"`), reconciletest.Succeeded(0, "x", "lab")}, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var open []string
			for s, tr := range throttle.Circuits(tc.events) {
				if tr.Open() {
					open = append(open, string(s))
				}
			}
			if got := strings.Join(open, ", "); got != tc.open {
				t.Errorf("in trouble: %q, want %q", got, tc.open)
			}
		})
	}
}

// TestBreaker checks what a plan does about an issuer or account in trouble.
func TestBreaker(t *testing.T) {
	refused := []ledger.Event{reconciletest.Failed(0, "a", ledger.ClassDNSUnauthorized, "lab", "403 wrong token"), reconciletest.Failed(0, "b", ledger.ClassDNSUnauthorized, "lab", "403 wrong token"), reconciletest.Failed(0, "c", ledger.ClassDNSUnauthorized, "lab", "403 wrong token\nsecond line")}
	down := []ledger.Event{reconciletest.Failed(0, "a", ledger.ClassCAUnavailable, "", "503"), reconciletest.Failed(0, "b", ledger.ClassCAUnavailable, "", "503"), reconciletest.Failed(0, "c", ledger.ClassCAUnavailable, "", "503")}
	withWord := func(events []ledger.Event, until time.Duration) []ledger.Event {
		last := events[len(events)-1]
		at := reconciletest.Start.Add(until)
		last.HoldUntil, last.Failures = &at, 1
		return append(append([]ledger.Event{}, events[:len(events)-1]...), last)
	}
	cases := map[string]struct {
		history []ledger.Event
		desired func(*spec.Spec)
		after   time.Duration
		want    string // kinds, with the avoided accounts
		until   time.Duration
		detail  string
	}{
		"at once, nobody": {history: refused, after: time.Minute, want: "hold hold", until: 10 * time.Minute,
			detail: "dns.lab has failed for 3 certificates in a row (dns_unauthorized), one at a time tries it again: 403 wrong token"},
		"after ten minutes, a probe": {history: refused, after: 12 * time.Minute, want: "issue hold", until: 22 * time.Minute, detail: "dns.lab has failed"},
		"with an account behind it": {history: refused, after: time.Minute, want: "issue-lab issue-lab", desired: func(d *spec.Spec) {
			d.DNS["dr"] = &spec.DNSAccount{Name: "dr", Challenge: spec.DNS01}
			for _, c := range d.Certificates {
				c.DNS = []string{"lab", "dr"}
			}
		}},
		"with an account behind it, a probe": {history: refused, after: 12 * time.Minute, want: "issue issue-lab", desired: func(d *spec.Spec) {
			d.DNS["dr"] = &spec.DNSAccount{Name: "dr", Challenge: spec.DNS01}
			for _, c := range d.Certificates {
				c.DNS = []string{"lab", "dr"}
			}
		}},
		"the CA":                     {history: down, after: time.Minute, want: "hold hold", until: 10 * time.Minute, detail: "issuer.ca has failed for 3 certificates in a row (ca_unavailable)"},
		"the CA, by its own word":    {history: withWord(down, 5*time.Hour), after: 4 * time.Hour, want: "hold hold", until: 5 * time.Hour, detail: "issuer.ca"},
		"the CA, when its word ends": {history: withWord(down, 5*time.Hour), after: 5 * time.Hour, want: "issue hold", detail: "issuer.ca"},
		"by a clock that was ahead":  {history: []ledger.Event{reconciletest.Failed(3650*times.Day, "a", ledger.ClassCAUnavailable, "", "503"), reconciletest.Failed(3650*times.Day, "b", ledger.ClassCAUnavailable, "", "503"), reconciletest.Failed(3650*times.Day, "c", ledger.ClassCAUnavailable, "", "503")}, after: time.Minute, want: "hold hold", until: 11 * time.Minute, detail: "issuer.ca"},
		"other certificates": {history: refused, after: time.Minute, want: "issue issue", desired: func(d *spec.Spec) {
			d.DNS["other"] = &spec.DNSAccount{Name: "other"}
			for _, c := range d.Certificates {
				c.DNS = []string{"other"}
			}
		}},
		"a limit of another domain": {history: []ledger.Event{reconciletest.Failed(0, "a", ledger.ClassRateLimited, "", "example.com"), reconciletest.Failed(0, "b", ledger.ClassRateLimited, "", "example.com"), reconciletest.Failed(0, "c", ledger.ClassRateLimited, "", "example.com")}, want: "issue issue", desired: func(d *spec.Spec) {
			for _, c := range d.Certificates {
				c.Domains[0].ASCII = c.Name + ".example.org"
			}
		}},
		"a limit of its domain": {history: []ledger.Event{reconciletest.Failed(0, "a", ledger.ClassRateLimited, "", "example.com"), reconciletest.Failed(0, "b", ledger.ClassRateLimited, "", "example.com"), reconciletest.Failed(0, "c", ledger.ClassRateLimited, "", "example.com")}, want: "hold hold", until: time.Minute, detail: "issuer.ca for example.com has failed"},
		"a probe is not lost on one that waits for its account": {after: 12 * time.Minute, want: "hold issue", detail: "dns.lab",
			history: append(append([]ledger.Event{}, down...), reconciletest.Failed(11*time.Minute, "a", ledger.ClassDNSUnauthorized, "lab", "403"), reconciletest.Failed(11*time.Minute, "b", ledger.ClassDNSUnauthorized, "lab", "403"), reconciletest.Failed(11*time.Minute, "c", ledger.ClassDNSUnauthorized, "lab", "403")),
			desired: func(d *spec.Spec) {
				d.DNS["other"] = &spec.DNSAccount{Name: "other"}
				d.Certificates[1].DNS = []string{"other"}
			}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			desired := reconciletest.Desire(reconciletest.Certificate("x", "x.example.com"), reconciletest.Certificate("y", "y.example.com"))
			if tc.desired != nil {
				tc.desired(desired)
			}
			actions := plan.New(desired, &plan.Observed{History: tc.history}, reconciletest.Start.Add(tc.after)).Actions
			var got []string
			for _, a := range actions {
				got = append(got, strings.Join(append([]string{string(a.Kind)}, a.Avoid...), "-"))
				if a.Kind == ledger.KindHold {
					reconciletest.Expect(t, a, ledger.KindHold, ledger.ReasonBreaker, tc.detail)
					if wait := a.NotBefore.Sub(reconciletest.Start); tc.until > 0 && (wait < tc.until || wait > tc.until+2*time.Minute) {
						t.Errorf("%s waits for %s, want %s", a.Certificate, wait, tc.until)
					}
				}
			}
			if strings.Join(got, " ") != tc.want {
				t.Errorf("got %v, want %s", got, tc.want)
			}
		})
	}
}

// TestProbesGrowApart checks that the wait between probes grows while the trouble
// lasts, and shrinks again as expiry approaches.
func TestProbesGrowApart(t *testing.T) {
	tr := &throttle.Circuit{Class: ledger.ClassDNSUnauthorized, Last: reconciletest.Start}
	far, near := reconciletest.Start.Add(60*times.Day), reconciletest.Start.Add(times.Day)
	for n, want := range map[int]time.Duration{0: 10 * time.Minute, 1: 100 * time.Minute, 2: times.Day, 50: times.Day} {
		tr.Probes = n
		if got := tr.ProbeAt("dns.lab", far).Sub(reconciletest.Start); got < want || got > want+want/10 {
			t.Errorf("after %d probes: %s, want %s", n, got, want)
		}
		want = min(want, 144*time.Minute)
		if got := tr.ProbeAt("dns.lab", near).Sub(reconciletest.Start); got < want || got > want+want/10 {
			t.Errorf("after %d probes, a day before expiry: %s, want %s", n, got, want)
		}
	}
}

// TestDeadAccountIsOneProblem checks sixty certificates with an account that fails. Few
// of them are tried over days. Once the account works again, all are issued.
func TestDeadAccountIsOneProblem(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Crowd(60, "example.com")...)
	w.Ca.DNS = func(string) error {
		return &reconciletest.CaError{Code: "dns_unauthorized", OfAccount: "lab", Text: "403 invalid token", Gone: false}
	}
	report, err := w.Apply(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Results) != 3 || report.Held != 60-len(report.Results) {
		t.Errorf("the first pass tried %d, and held %d", len(report.Results), report.Held)
	}
	tries := len(report.Results)
	for range 6 * 60 { // one plan per minute
		w.At = w.At.Add(time.Minute)
		report, err := w.Apply(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(report.Results) > 2 {
			t.Errorf("%d tries in one pass", len(report.Results))
		}
		tries += len(report.Results)
	}
	// Three attempts until the hold, and one each after 10 and 110 minutes: six hours
	// have no room for another probe.
	if tries != 5 {
		t.Errorf("%d tries within six hours", tries)
	}
	held := 0
	for _, e := range w.Ledger.Events(t) {
		if e.Status == ledger.Held {
			held++
			if e.Certificate != "" || e.Reason != ledger.ReasonBreaker || !strings.Contains(e.Detail, "dns.lab") || e.Severity != "" {
				t.Errorf("event: %+v", e)
			}
		}
	}
	if held != 1 {
		t.Errorf("%d events of what is held, want one", held)
	}
	w.Ca.DNS = nil
	for range 5 {
		next := w.At.Add(30 * times.Day)
		for _, a := range w.Plan() {
			if a.Kind == ledger.KindHold && a.NotBefore.Before(next) {
				next = a.NotBefore
			}
		}
		if next.After(w.At) && next.Before(reconciletest.Start.Add(29*times.Day)) {
			w.At = next
		}
		if _, err := w.Apply(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := reconciletest.Count(w.Plan(), ledger.KindNone); n != 60 {
		t.Errorf("%d of 60 are live after the account was mended", n)
	}
	if n := len(w.Ca.Orders); n != 60 {
		t.Errorf("%d orders for 60 certificates", n)
	}
}

// TestCrowdGoesToTheOtherAccount checks that a dead account is passed over at once
// after three certificates have found it dead.
func TestCrowdGoesToTheOtherAccount(t *testing.T) {
	cs := reconciletest.Crowd(60, "example.com")
	for _, c := range cs {
		c.DNS = []string{"lab", "dr"}
	}
	w := reconciletest.NewWorld(t, cs...)
	w.Desired.DNS["dr"] = &spec.DNSAccount{Name: "dr", Challenge: spec.DNS01}
	asked := map[string]int{}
	w.Ca.DNS = func(account string) error {
		asked[account]++
		if account == "lab" {
			return &reconciletest.CaError{Code: "dns_unauthorized", OfAccount: "lab", Text: "403 invalid token"}
		}
		return nil
	}
	w.Settle()
	if asked["lab"] > 6 || asked["dr"] != 60 {
		t.Errorf("asked: %v", asked)
	}
	passed := 0
	for _, e := range w.Ledger.Events(t) {
		if e.DNSAccount != "dr" {
			t.Errorf("event: %+v", e)
		}
		for _, p := range e.PassedOver {
			passed++
			if p != (ledger.PassedOver{Account: "lab", Class: ledger.ClassDNSUnauthorized, Message: "403 invalid token"}) {
				t.Errorf("passed over: %+v", p)
			}
		}
	}
	if passed != asked["lab"] {
		t.Errorf("%d events tell of the dead account, it was asked %d times", passed, asked["lab"])
	}
}

// TestNewCredentialsEndATrouble checks that new credentials release all certificates
// that wait for the account.
func TestNewCredentialsEndATrouble(t *testing.T) {
	var events []ledger.Event
	for i := range 5 {
		e := reconciletest.Failed(0, fmt.Sprint("c", i), ledger.ClassDNSUnauthorized, "lab", "403")
		e.Credentials = map[string]string{"lab": "v1"}
		events = append(events, e)
	}
	desired := reconciletest.Desire(reconciletest.Certificate("x", "x.example.com"), reconciletest.Certificate("y", "y.example.com"))
	for version, want := range map[string]int{"": 0, "v1": 0, "v2": 2} {
		obs := &plan.Observed{History: events, Credentials: map[string]string{"lab": version}}
		if n := reconciletest.Count(plan.New(desired, obs, reconciletest.Start.Add(time.Minute)).Actions, ledger.KindIssue); n != want {
			t.Errorf("with credential %q %d go, want %d", version, n, want)
		}
	}
}

// TestOtherCredentials checks that file times are compared only on the same machine: a
// copy elsewhere has its own.
func TestOtherCredentials(t *testing.T) {
	cases := map[string]struct {
		was, is string
		other   bool
	}{
		"not known before":                       {"", "2", false},
		"not known now":                          {"1", "", false},
		"another version":                        {"1", "2", true},
		"the second of two":                      {"1,1", "1,2", true},
		"one more":                               {"1", "1,1", true},
		"a file, the same":                       {"a@1", "a@1", false},
		"a file that changed":                    {"a@1", "a@2", true},
		"the other replica's copy":               {"a@1", "b@2", false},
		"the other replica's copy, and a secret": {"7,a@1", "8,b@2", true},
		"a file where a secret was":              {"7", "a@1", false},
	}
	for name, tc := range cases {
		if got := throttle.OtherCredentials(tc.was, tc.is); got != tc.other {
			t.Errorf("%s: %v", name, got)
		}
	}
}

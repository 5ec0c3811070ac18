package reconcile

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"certroll/spec"
)

// failed is the event of a failed renewal.
func failed(at time.Duration, certificate string, class Class, account, text string) Event {
	until := start.Add(at + time.Minute)
	return Event{Time: start.Add(at), Operation: KindRenew, Certificate: certificate, Names: []string{certificate + ".example.com"}, Status: Failed,
		Issuer: "ca", DNSAccount: account, Class: class, Message: text, Failures: 2, HoldUntil: &until}
}

func succeeded(at time.Duration, certificate, account string) Event {
	return Event{Time: start.Add(at), Operation: KindRenew, Certificate: certificate, Names: []string{certificate + ".example.com"}, Status: Success, Issuer: "ca", DNSAccount: account}
}

func TestTroubles(t *testing.T) {
	refused := func(c string) Event { return failed(0, c, ClassDNSUnauthorized, "lab", "403") }
	down := func(c string) Event { return failed(0, c, ClassCAUnavailable, "", "503") }
	limited := func(c, text string) Event { return failed(0, c, ClassRateLimited, "", text) }
	passed := succeeded(0, "p", "dr")
	passed.PassedOver = []PassedOver{{Account: "lab", Class: ClassDNSUnauthorized, Message: "403"}}
	cases := map[string]struct {
		events []Event
		open   string // the subjects in trouble, in order
	}{
		"nothing":                            {nil, ""},
		"two certificates":                   {[]Event{refused("a"), refused("b")}, ""},
		"three certificates":                 {[]Event{refused("a"), refused("b"), refused("c")}, "dns.lab"},
		"one certificate, often":             {[]Event{refused("a"), refused("a"), refused("a"), refused("a")}, ""},
		"a success in between":               {[]Event{refused("a"), refused("b"), succeeded(0, "x", "lab"), refused("c")}, ""},
		"a success after it":                 {[]Event{refused("a"), refused("b"), refused("c"), succeeded(0, "x", "lab")}, ""},
		"a success by another account":       {[]Event{refused("a"), refused("b"), refused("c"), succeeded(0, "x", "dr")}, "dns.lab"},
		"another class in between":           {[]Event{refused("a"), refused("b"), failed(0, "x", ClassDNSUnavailable, "lab", "timeout"), refused("c")}, ""},
		"passed over by one that worked":     {[]Event{refused("a"), refused("b"), passed}, "dns.lab"},
		"the CA is down":                     {[]Event{down("a"), down("b"), down("c")}, "issuer.ca"},
		"the CA is up again, and says no":    {[]Event{down("a"), down("b"), down("c"), failed(0, "d", ClassValidation, "", "no TXT")}, ""},
		"a certificate's own matter":         {[]Event{failed(0, "a", ClassCAA, "", "x"), failed(0, "b", ClassCAA, "", "x"), failed(0, "c", ClassCAA, "", "x")}, ""},
		"a limit of the account":             {[]Event{limited("a", "too many new orders"), limited("b", "too many new orders"), limited("c", "too many new orders")}, "issuer.ca"},
		"a limit of one domain":              {[]Event{limited("a", `too many for "example.com"`), limited("b", `too many for "example.com"`), limited("c", `too many for "example.com"`)}, "issuer.ca for example.com"},
		"a limit of one domain, and success": {[]Event{limited("a", `"example.com"`), limited("b", `"example.com"`), limited("c", `"example.com"`), succeeded(0, "x", "lab")}, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var open []string
			for s, tr := range troubles(tc.events) {
				if tr.open() {
					open = append(open, string(s))
				}
			}
			if got := strings.Join(open, ", "); got != tc.open {
				t.Errorf("in trouble: %q, want %q", got, tc.open)
			}
		})
	}
}

// TestBreaker: what a plan makes of a trouble.
func TestBreaker(t *testing.T) {
	refused := []Event{failed(0, "a", ClassDNSUnauthorized, "lab", "403 wrong token"), failed(0, "b", ClassDNSUnauthorized, "lab", "403 wrong token"), failed(0, "c", ClassDNSUnauthorized, "lab", "403 wrong token\nsecond line")}
	down := []Event{failed(0, "a", ClassCAUnavailable, "", "503"), failed(0, "b", ClassCAUnavailable, "", "503"), failed(0, "c", ClassCAUnavailable, "", "503")}
	withWord := func(events []Event, until time.Duration) []Event {
		last := events[len(events)-1]
		at := start.Add(until)
		last.HoldUntil, last.Failures = &at, 1
		return append(append([]Event{}, events[:len(events)-1]...), last)
	}
	cases := map[string]struct {
		history []Event
		desired func(*spec.Spec)
		after   time.Duration
		want    string // kinds, with the accounts that are avoided
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
		"by a clock that was ahead":  {history: []Event{failed(3650*day, "a", ClassCAUnavailable, "", "503"), failed(3650*day, "b", ClassCAUnavailable, "", "503"), failed(3650*day, "c", ClassCAUnavailable, "", "503")}, after: time.Minute, want: "hold hold", until: 11 * time.Minute, detail: "issuer.ca"},
		"other certificates": {history: refused, after: time.Minute, want: "issue issue", desired: func(d *spec.Spec) {
			d.DNS["other"] = &spec.DNSAccount{Name: "other"}
			for _, c := range d.Certificates {
				c.DNS = []string{"other"}
			}
		}},
		"a limit of another domain": {history: []Event{failed(0, "a", ClassRateLimited, "", "example.com"), failed(0, "b", ClassRateLimited, "", "example.com"), failed(0, "c", ClassRateLimited, "", "example.com")}, want: "issue issue", desired: func(d *spec.Spec) {
			for _, c := range d.Certificates {
				c.Domains[0].ASCII = c.Name + ".example.org"
			}
		}},
		"a limit of its domain": {history: []Event{failed(0, "a", ClassRateLimited, "", "example.com"), failed(0, "b", ClassRateLimited, "", "example.com"), failed(0, "c", ClassRateLimited, "", "example.com")}, want: "hold hold", until: time.Minute, detail: "issuer.ca for example.com has failed"},
		"a probe is not lost on one that waits for its account": {after: 12 * time.Minute, want: "hold issue", detail: "dns.lab",
			history: append(append([]Event{}, down...), failed(11*time.Minute, "a", ClassDNSUnauthorized, "lab", "403"), failed(11*time.Minute, "b", ClassDNSUnauthorized, "lab", "403"), failed(11*time.Minute, "c", ClassDNSUnauthorized, "lab", "403")),
			desired: func(d *spec.Spec) {
				d.DNS["other"] = &spec.DNSAccount{Name: "other"}
				d.Certificates[1].DNS = []string{"other"}
			}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			desired := desire(certificate("x", "x.example.com"), certificate("y", "y.example.com"))
			if tc.desired != nil {
				tc.desired(desired)
			}
			actions := Plan(desired, &Observed{History: tc.history}, start.Add(tc.after))
			var got []string
			for _, a := range actions {
				got = append(got, strings.Join(append([]string{string(a.Kind)}, a.Avoid...), "-"))
				if a.Kind == KindHold {
					expect(t, a, KindHold, ReasonBreaker, tc.detail)
					if wait := a.NotBefore.Sub(start); tc.until > 0 && (wait < tc.until || wait > tc.until+2*time.Minute) {
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

// TestProbesGrowApart: while the trouble lasts, the wait for each further probe
// is longer, and as expiry nears less long again.
func TestProbesGrowApart(t *testing.T) {
	tr := &trouble{class: ClassDNSUnauthorized, last: start}
	far, near := start.Add(60*day), start.Add(day)
	for n, want := range map[int]time.Duration{0: 10 * time.Minute, 1: 100 * time.Minute, 2: day, 50: day} {
		tr.probes = n
		if got := tr.probeAt("dns.lab", far).Sub(start); got < want || got > want+want/10 {
			t.Errorf("after %d probes: %s, want %s", n, got, want)
		}
		want = min(want, 144*time.Minute)
		if got := tr.probeAt("dns.lab", near).Sub(start); got < want || got > want+want/10 {
			t.Errorf("after %d probes, a day before expiry: %s, want %s", n, got, want)
		}
	}
}

// TestDeadAccountIsOneProblem: sixty certificates, an account that refuses.
// Over days few of them are tried; the account works again: all are done.
func TestDeadAccountIsOneProblem(t *testing.T) {
	w := newWorld(t, crowd(60, "example.com")...)
	w.ca.dns = func(string) error {
		return &caError{class: "dns_unauthorized", account: "lab", text: "403 invalid token", gone: false}
	}
	report, err := w.apply(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Results) != 3 || report.Held != 60-len(report.Results) {
		t.Errorf("the first pass tried %d, and held %d", len(report.Results), report.Held)
	}
	tries := len(report.Results)
	for range 6 * 60 { // a look each minute
		w.at = w.at.Add(time.Minute)
		report, err := w.apply(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(report.Results) > 2 {
			t.Errorf("%d tries in one pass", len(report.Results))
		}
		tries += len(report.Results)
	}
	// Three until it is held, and one each after 10 and after 110 minutes: within
	// six hours there is no room for another probe.
	if tries != 5 {
		t.Errorf("%d tries within six hours", tries)
	}
	held := 0
	for _, e := range w.ledger.events(t) {
		if e.Status == Held {
			held++
			if e.Certificate != "" || e.Reason != ReasonBreaker || !strings.Contains(e.Detail, "dns.lab") || e.Severity != "" {
				t.Errorf("event: %+v", e)
			}
		}
	}
	if held != 1 {
		t.Errorf("%d events of what is held, want one", held)
	}
	w.ca.dns = nil
	for range 5 {
		next := w.at.Add(30 * day)
		for _, a := range w.plan() {
			if a.Kind == KindHold && a.NotBefore.Before(next) {
				next = a.NotBefore
			}
		}
		if next.After(w.at) && next.Before(start.Add(29*day)) {
			w.at = next
		}
		if _, err := w.apply(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := count(w.plan(), KindNone); n != 60 {
		t.Errorf("%d of 60 are live after the account was mended", n)
	}
	if n := len(w.ca.orders); n != 60 {
		t.Errorf("%d orders for 60 certificates", n)
	}
}

// TestCrowdGoesToTheOtherAccount: the dead one is passed over at once after
// three have found it dead.
func TestCrowdGoesToTheOtherAccount(t *testing.T) {
	cs := crowd(60, "example.com")
	for _, c := range cs {
		c.DNS = []string{"lab", "dr"}
	}
	w := newWorld(t, cs...)
	w.desired.DNS["dr"] = &spec.DNSAccount{Name: "dr", Challenge: spec.DNS01}
	asked := map[string]int{}
	w.ca.dns = func(account string) error {
		asked[account]++
		if account == "lab" {
			return &caError{class: "dns_unauthorized", account: "lab", text: "403 invalid token"}
		}
		return nil
	}
	w.settle()
	if asked["lab"] > 6 || asked["dr"] != 60 {
		t.Errorf("asked: %v", asked)
	}
	passed := 0
	for _, e := range w.ledger.events(t) {
		if e.DNSAccount != "dr" {
			t.Errorf("event: %+v", e)
		}
		for _, p := range e.PassedOver {
			passed++
			if p != (PassedOver{"lab", ClassDNSUnauthorized, "403 invalid token"}) {
				t.Errorf("passed over: %+v", p)
			}
		}
	}
	if passed != asked["lab"] {
		t.Errorf("%d events tell of the dead account, it was asked %d times", passed, asked["lab"])
	}
}

// TestNewCredentialsEndATrouble for all that wait for the account.
func TestNewCredentialsEndATrouble(t *testing.T) {
	var events []Event
	for i := range 5 {
		e := failed(0, fmt.Sprint("c", i), ClassDNSUnauthorized, "lab", "403")
		e.Credentials = map[string]string{"lab": "v1"}
		events = append(events, e)
	}
	desired := desire(certificate("x", "x.example.com"), certificate("y", "y.example.com"))
	for version, want := range map[string]int{"": 0, "v1": 0, "v2": 2} {
		obs := &Observed{History: events, Credentials: map[string]string{"lab": version}}
		if n := count(Plan(desired, obs, start.Add(time.Minute)), KindIssue); n != want {
			t.Errorf("with credential %q %d go, want %d", version, n, want)
		}
	}
}

// TestOtherCredentials: a file's time on one machine says nothing of the copy
// on another.
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
		if got := otherCredentials(tc.was, tc.is); got != tc.other {
			t.Errorf("%s: %v", name, got)
		}
	}
}

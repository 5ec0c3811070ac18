package plan_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/limiter"
	"certroll/reconcile/plan"
	"certroll/reconcile/reconciletest"
	"certroll/spec"
)

// zonedSpec returns a spec with an account for each of two zones, one for all zones,
// and one that only CNAMEs lead to.
func zonedSpec(certificates ...*spec.Certificate) *spec.Spec {
	s := reconciletest.Desire(certificates...)
	s.DNS = map[string]*spec.DNSAccount{
		"com": {Name: "com", Challenge: spec.DNS01, FollowCNAME: true, Zones: []string{"example.com"}},
		"net": {Name: "net", Challenge: spec.DNS01, FollowCNAME: true, Zones: []string{"example.net"}},
		"any": {Name: "any", Challenge: spec.DNS01, FollowCNAME: true},
		"led": {Name: "led", Challenge: spec.DNS01, FollowCNAME: true, Zones: []string{"acme.example.org"}},
		"own": {Name: "own", Challenge: spec.DNS01, Zones: []string{"example.com"}},
		"web": {Name: "web", Challenge: spec.HTTP01},
	}
	return s
}

// by returns a certificate with these DNS accounts.
func by(name string, dns string, names ...string) *spec.Certificate {
	c := reconciletest.Certificate(name, names...)
	c.DNS = strings.Fields(dns)
	for i := range c.Domains {
		c.Domains[i].Wildcard = strings.HasPrefix(c.Domains[i].ASCII, "*.")
	}
	return c
}

func TestWays(t *testing.T) {
	for _, tc := range []struct {
		dns   string
		names []string
		want  string
	}{
		{"com", []string{"a.example.net"}, "[]"},
		{"com net", []string{"a.example.com", "*.example.net", "b.example.com"}, "[[com] [net]]"},
		{"any com net", []string{"a.example.com", "b.example.net"}, "[[com any] [net any]]"},
		{"led com", []string{"a.example.com"}, "[[com]]"},
		{"led com", []string{"a.example.info"}, "[[led com]]"}, // a CNAME may lead to either
		{"led any", []string{"a.example.info"}, "[[any led]]"},
		{"com web", []string{"*.example.com", "192.0.2.1"}, "[[com] [web]]"},
		{"com web", []string{"www.example.com"}, "[[com web]]"},
		{"com net", []string{"192.0.2.1"}, "[[com net]]"}, // no account matches: found out when it is tried
	} {
		c := by("x", tc.dns, tc.names...)
		if got := fmt.Sprint(plan.WaysOf(zonedSpec(c), c)); got != tc.want {
			t.Errorf("%s for %v: %s, want %s", tc.dns, tc.names, got, tc.want)
		}
	}
}

// TestBreakerByZone checks that a certificate waits for an account in trouble only if
// no other account can validate one of its names. Names outside an account's zones do
// not count against it.
func TestBreakerByZone(t *testing.T) {
	for name, tc := range map[string]struct {
		failing string // the failing account
		zone    string // zone of the names
		passed  bool   // passed over, and the certificates succeeded
		c       *spec.Certificate
		waits   bool
		avoid   string
	}{
		"its zone, alone":                  {failing: "com", zone: "example.com", c: by("x", "com", "x.example.com"), waits: true},
		"its zone, beside another's":       {failing: "com", zone: "example.com", c: by("x", "com net", "x.example.com"), waits: true},
		"its zone, in the second place":    {failing: "com", zone: "example.com", c: by("x", "net com", "x.example.com"), waits: true},
		"both zones":                       {failing: "com", zone: "example.com", c: by("x", "net com", "x.example.net", "x.example.com"), waits: true},
		"a stand-in for all zones":         {failing: "com", zone: "example.com", c: by("x", "com any", "x.example.com"), avoid: "com"},
		"the other zone":                   {failing: "com", zone: "example.com", c: by("x", "com net", "x.example.net")},
		"led elsewhere is no stand-in":     {failing: "com", zone: "example.com", c: by("x", "com led", "x.example.com"), waits: true},
		"an address beside a wildcard":     {failing: "com", zone: "example.com", c: by("x", "com web", "*.example.com", "192.0.2.1"), waits: true},
		"names of another zone":            {failing: "com", zone: "example.net", c: by("x", "com", "x.example.com")},
		"names of another zone, passed":    {failing: "com", zone: "example.net", passed: true, c: by("x", "com", "x.example.com")},
		"its own names, passed over":       {failing: "com", zone: "example.com", passed: true, c: by("x", "com", "x.example.com"), waits: true},
		"led to, and nobody else is":       {failing: "led", zone: "example.info", c: by("x", "led", "x.example.info"), waits: true},
		"an account without zones":         {failing: "any", zone: "example.net", c: by("x", "any", "x.example.com"), waits: true},
		"without zones, another has one":   {failing: "any", zone: "example.net", c: by("x", "any com", "x.example.com"), avoid: "any"},
		"without zones, the other has not": {failing: "any", zone: "example.net", c: by("x", "any com", "x.example.net"), avoid: "any"}, // a CNAME may lead there
		"without zones, the other cannot":  {failing: "any", zone: "example.net", c: by("x", "any own", "x.example.net"), waits: true},
	} {
		t.Run(name, func(t *testing.T) {
			desired := zonedSpec(tc.c)
			var history []ledger.Event
			for i := range 3 {
				e := reconciletest.Failed(time.Duration(i)*time.Second, fmt.Sprintf("old%d", i), ledger.ClassDNSUnauthorized, tc.failing, "403")
				e.Names = []string{fmt.Sprintf("old%d.%s", i, tc.zone)}
				e.FailedNames = e.Names
				if tc.passed {
					e.Status, e.Class, e.FailedNames, e.DNSAccount = ledger.Success, "", nil, "any"
					e.PassedOver = []ledger.PassedOver{{Account: tc.failing, Class: ledger.ClassDNSUnauthorized, Message: "403"}}
				}
				history = append(history, e)
			}
			obs := &plan.Observed{History: history}
			planned := plan.New(desired, obs, reconciletest.Start.Add(time.Minute)).Actions
			a := &planned[0]
			if waits := a.Kind == ledger.KindHold && a.HeldBy == ledger.AccountSubject(tc.failing); waits != tc.waits {
				t.Errorf("the plan says %s, %s, held by %q: %s", a.Kind, a.Reason, a.HeldBy, a.Detail)
			}
			if got := strings.Join(a.Avoid, " "); got != tc.avoid {
				t.Errorf("the plan avoids %q, want %q", got, tc.avoid)
			}
			// The gate follows the same rule.
			b := &plan.Action{Kind: ledger.KindIssue, Certificate: "x", Spec: tc.c, Issuer: desired.Issuers["ca"], Ways: plan.WaysOf(desired, tc.c)}
			g := limiter.New(func() time.Time { return reconciletest.Start.Add(time.Minute) })
			_, in := g.Begin(desired, obs).Try(b, func() bool { return true })
			if (in == limiter.EndHeld) != tc.waits || strings.Join(b.Avoid, " ") != tc.avoid {
				t.Errorf("the gate says %v, avoiding %q", in, b.Avoid)
			}
		})
	}
}

// TestGateOfTwoZones checks that an action with names in two zones needs both accounts,
// and that a failure in one zone does not block the other.
func TestGateOfTwoZones(t *testing.T) {
	c := by("x", "com net", "x.example.com", "x.example.net")
	desired := zonedSpec(c)
	a := &plan.Action{Kind: ledger.KindIssue, Certificate: "x", Spec: c, Issuer: desired.Issuers["ca"], Ways: plan.WaysOf(desired, c)}
	if got := plan.SubjectsOf(a); !slices.Equal(got, []ledger.Subject{"issuer.ca", "dns.com", "dns.net"}) {
		t.Errorf("it enters by %v", got)
	}
	g := limiter.New(time.Now)
	p := g.Begin(desired, &plan.Observed{})
	for i := range 3 {
		name := fmt.Sprintf("n%d", i)
		one := by(name, "com net", name+".example.com")
		e := reconciletest.Failed(0, name, ledger.ClassDNSUnauthorized, "com", "403")
		e.Names, e.FailedNames = one.Names(), one.Names()
		action := &plan.Action{Kind: ledger.KindIssue, Certificate: name, Spec: one, Issuer: desired.Issuers["ca"], Ways: plan.WaysOf(zonedSpec(one), one)}
		leave, in := p.Try(action, func() bool { return true })
		if in != limiter.EndDone {
			t.Fatalf("%s: %v", name, in)
		}
		leave(e)
	}
	other := by("o", "com net", "o.example.net")
	b := &plan.Action{Kind: ledger.KindIssue, Certificate: "o", Spec: other, Issuer: desired.Issuers["ca"], Ways: plan.WaysOf(desired, other)}
	if _, in := p.Try(b, func() bool { return true }); in != limiter.EndDone {
		t.Errorf("the other zone: %v", in)
	}
	if _, in := p.Try(a, func() bool { return true }); in != limiter.EndHeld {
		t.Errorf("both zones: %v", in)
	}
}

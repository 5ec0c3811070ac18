package monitor_test

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"certroll/reconcile/doctor"
	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/monitor"
	"certroll/reconcile/reconciletest"
	"certroll/reconcile/statuspage"
	"certroll/reconcile/times"
)

// issued returns a certificate of the test CA with this age and these names, and its
// chain.
func issued(t *testing.T, ca *reconciletest.MemCA, age, lifetime time.Duration, names ...string) []*x509.Certificate {
	t.Helper()
	key, err := keypair.NewKey("ecdsa-P-256")
	if err != nil {
		t.Fatal(err)
	}
	now, was := ca.Now, ca.Lifetime
	ca.Now, ca.Lifetime = func() time.Time { return reconciletest.Start.Add(-age) }, lifetime
	defer func() { ca.Now, ca.Lifetime = now, was }()
	chain, err := keypair.ParseChain(ca.Sign(names, key.Public()))
	if err != nil {
		t.Fatal(err)
	}
	return chain
}

// liveAs returns Vault's metadata for a chain.
func liveAs(t *testing.T, chain []*x509.Certificate) *ledger.Live {
	t.Helper()
	leaf := chain[0]
	return &ledger.Live{
		Serial: keypair.SerialOf(leaf), NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter, NamesDigest: keypair.NamesDigest(keypair.NamesOf(leaf)), KeyDigest: keypair.PublicKeyDigest(leaf),
		KeyShape: keypair.KeyShape(leaf.PublicKey), Mount: "secret", Path: "tls/api", Version: 7, IssuedAt: leaf.NotBefore.Add(time.Minute),
	}
}

func TestJudge(t *testing.T) {
	ca := reconciletest.NewMemCA(t, func() time.Time { return reconciletest.Start })
	fresh := issued(t, ca, 3*time.Hour, 90*times.Day, "api.example.com", "www.example.com")
	old := issued(t, ca, 60*times.Day, 90*times.Day, "api.example.com", "www.example.com")
	oneName := issued(t, ca, 60*times.Day, 90*times.Day, "api.example.com")
	over := issued(t, ca, 91*times.Day, 90*times.Day, "api.example.com", "www.example.com")
	newer := issued(t, ca, time.Hour, 90*times.Day, "api.example.com", "www.example.com")
	foreign := issued(t, ca, 60*times.Day, 90*times.Day, "other.example.com")
	ca.Wrong = func(c *x509.Certificate) { c.IssuingCertificateURL = []string{"http://ca.example/root.crt"} }
	aia := issued(t, ca, 3*time.Hour, 90*times.Day, "api.example.com", "www.example.com")
	ca.Wrong = nil

	one := func(chain []*x509.Certificate) map[string][]*x509.Certificate {
		return map[string][]*x509.Certificate{"192.0.2.1": chain}
	}
	for name, tc := range map[string]struct {
		live   []*x509.Certificate // nil: fresh
		age    time.Duration       // age of the live version
		served map[string][]*x509.Certificate
		want   monitor.Verdict
		says   string
	}{
		"the live one":                       {served: one(fresh), want: monitor.VerdictCurrent},
		"the leaf alone, no issuer named":    {served: one(fresh[:1]), want: monitor.VerdictCurrent},
		"the leaf alone":                     {live: aia, served: one(aia[:1]), want: monitor.Verdict(ledger.ClassIncomplete), says: "without its issuer's certificate"},
		"the leaf and its issuer":            {live: aia, served: one(aia), want: monitor.VerdictCurrent},
		"an earlier one, just replaced":      {age: 119 * time.Minute, served: one(old), want: monitor.VerdictWaiting, says: "; the server has until 2026-11-23T12:01:00Z to load the new one"},
		"an earlier one":                     {age: 2 * time.Hour, served: one(old), want: monitor.Verdict(ledger.ClassStale), says: "api.example.com:443 serves serial 03, valid since 2026-09-24T11:59:00Z, which was replaced 2026-11-23T10:00:00Z by serial 02 (version 7 of secret/tls/api)"},
		"an earlier one that had one name":   {age: 2 * time.Hour, served: one(oneName), want: monitor.Verdict(ledger.ClassStale)},
		"an earlier one that has expired":    {age: time.Minute, served: one(over), want: monitor.Verdict(ledger.ClassExpired), says: "serves serial 05, which expired 2026-11-22T12:00:00Z; Vault has serial 02 (version 7 of secret/tls/api), valid until 2027-02-21T09:00:00Z"},
		"a live one that has expired":        {live: over, served: one(over), want: monitor.VerdictCurrent},
		"a younger one":                      {age: 3 * time.Hour, served: one(newer), want: monitor.Verdict(ledger.ClassOther), says: `serves serial 06 of "test root" for api.example.com, www.example.com, which is not certroll's`},
		"another's":                          {age: 3 * time.Hour, served: one(foreign), want: monitor.Verdict(ledger.ClassOther), says: "for other.example.com"},
		"another's, before the first reload": {age: time.Hour, served: one(foreign), want: monitor.VerdictWaiting},
		"one of two servers was forgotten": {age: 3 * time.Hour, served: map[string][]*x509.Certificate{"192.0.2.1": fresh, "192.0.2.2": old}, want: monitor.Verdict(ledger.ClassStale),
			says: "api.example.com:443 at 192.0.2.2 serves serial 03"},
		"the worst of three": {age: 3 * time.Hour, served: map[string][]*x509.Certificate{"192.0.2.1": old, "192.0.2.2": over, "192.0.2.3": fresh}, want: monitor.Verdict(ledger.ClassExpired), says: "at 192.0.2.2"},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.live == nil {
				tc.live = fresh
			}
			w := monitor.Expectation{Certificate: reconciletest.Certificate("api", "api.example.com", "www.example.com"), Probe: reconciletest.Endpoints("api.example.com")[0], Live: liveAs(t, tc.live), Since: reconciletest.Start.Add(-tc.age), After: 2 * time.Hour}
			got := monitor.Evaluate(w, tc.served, reconciletest.Start)
			if got.Verdict != tc.want || !strings.Contains(got.Message, tc.says) || (got.Message == "") != (tc.want == monitor.VerdictCurrent) {
				t.Errorf("%s: %q, want %s: %q", got.Verdict, got.Message, tc.want, tc.says)
			}
			if (got.Advice != "") != got.Verdict.Problem() {
				t.Errorf("%s has the advice %q", got.Verdict, got.Advice)
			}
		})
	}
	t.Run("a kept key and other names", func(t *testing.T) {
		live := liveAs(t, fresh)
		live.KeyDigest = keypair.PublicKeyDigest(foreign[0])
		w := monitor.Expectation{Certificate: reconciletest.Certificate("api", "api.example.com"), Probe: reconciletest.Endpoints("api.example.com")[0], Live: live, Since: reconciletest.Start.Add(-times.Day)}
		if got := monitor.Evaluate(w, one(foreign), reconciletest.Start); got.Verdict.Class() != ledger.ClassStale {
			t.Errorf("it is %s", got.Verdict)
		}
	})
}

// TestUnseen checks that the message about an unreachable endpoint is one line of
// bounded length.
func TestUnseen(t *testing.T) {
	w := monitor.Expectation{Certificate: reconciletest.Certificate("api"), Probe: reconciletest.Endpoints("api.example.com")[0]}
	l := monitor.Unseen(w, errors.New("421 go\r\naway\x1b "+strings.Repeat("x", 1000)), reconciletest.Start)
	if l.Verdict.Class() != ledger.ClassUnreachable || !strings.HasPrefix(l.Message, "421 go away") || len(l.Message) > 510 || strings.ContainsAny(l.Message, "\r\n\x1b") {
		t.Errorf("it says %q", l.Message)
	}
	if l := monitor.Unseen(w, fmt.Errorf("looking: %w", deniedError{}), reconciletest.Start); l.Verdict.Class() != ledger.ClassDenied || !strings.Contains(l.Advice, "probe.allow") {
		t.Errorf("it is %+v", l)
	}
}

type deniedError struct{}

func (deniedError) Error() string { return "not allowed" }
func (deniedError) Denied() bool  { return true }

// TestProbeEntries checks which events follow from the known and the new state of an
// endpoint.
func TestProbeEntries(t *testing.T) {
	here := ledger.Endpoint{Certificate: "api", Endpoint: "api.example.com:443"}
	known := func(s monitor.Verdict) *ledger.Problems {
		p := &ledger.Problems{Problems: []ledger.Problem{{Operation: ledger.KindDoctor, Finding: ledger.Finding{Class: ledger.ClassCAA, About: here.Endpoint, Certificates: []string{"api"}}}}}
		if s == "" {
			return p
		}
		return p.With(ledger.Problem{Operation: ledger.KindProbe, Since: reconciletest.Start, Finding: ledger.Finding{Class: s.Class(), About: here.Endpoint, Certificates: []string{"api"}}}, reconciletest.Start)
	}
	saw := func(s monitor.Verdict) map[ledger.Endpoint]*monitor.Result {
		return map[ledger.Endpoint]*monitor.Result{here: {Verdict: s, Serial: "07"}}
	}
	for name, tc := range map[string]struct {
		known *ledger.Problems
		looks map[ledger.Endpoint]*monitor.Result
		want  string
	}{
		"all well":                        {known(""), saw(monitor.VerdictCurrent), ""},
		"it waits":                        {known(""), saw(monitor.VerdictWaiting), ""},
		"it comes":                        {known(""), saw(monitor.Verdict(ledger.ClassStale)), "failure stale"},
		"it stays":                        {known(monitor.Verdict(ledger.ClassStale)), saw(monitor.Verdict(ledger.ClassStale)), ""},
		"it gets worse":                   {known(monitor.Verdict(ledger.ClassStale)), saw(monitor.Verdict(ledger.ClassExpired)), "failure expired page"},
		"it goes":                         {known(monitor.Verdict(ledger.ClassStale)), saw(monitor.VerdictCurrent), "success stale"},
		"the next renewal is waited for":  {known(monitor.Verdict(ledger.ClassStale)), saw(monitor.VerdictWaiting), ""},
		"it answers, and is waited for":   {known(monitor.Verdict(ledger.ClassUnreachable)), saw(monitor.VerdictWaiting), "success unreachable"},
		"not looked at since the restart": {known(monitor.Verdict(ledger.ClassStale)), map[ledger.Endpoint]*monitor.Result{here: nil}, ""},
		"taken out of the spec":           {known(monitor.Verdict(ledger.ClassStale)), map[ledger.Endpoint]*monitor.Result{}, "success stale"},
		"another's endpoint":              {known(""), map[ledger.Endpoint]*monitor.Result{here: {Verdict: monitor.Verdict(ledger.ClassStale)}, {Certificate: "web", Endpoint: here.Endpoint}: {Verdict: monitor.Verdict(ledger.ClassOther)}}, "failure stale, failure other_certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			entries := monitor.ProbeEntries(tc.known, tc.looks, ledger.Revision{Commit: "c0ffee"}, reconciletest.Start.Add(time.Hour))
			var got []string
			latest := tc.known
			for _, e := range entries {
				got = append(got, strings.TrimSpace(fmt.Sprint(e.Event.Status, " ", e.Event.Class, " ", e.Event.Severity)))
				latest = e.Problems
				if e.Event.Operation != ledger.KindProbe || e.Event.Endpoint != here.Endpoint || e.Event.Revision != "c0ffee" || e.Record != nil {
					t.Errorf("the entry is %+v", e)
				}
			}
			if s := strings.Join(got, ", "); s != tc.want {
				t.Errorf("told %q, want %q", s, tc.want)
			}
			if again := monitor.ProbeEntries(latest, tc.looks, ledger.Revision{}, reconciletest.Start.Add(2*time.Hour)); len(again) != 0 {
				t.Errorf("and again %+v", again)
			}
			if latest.Find(ledger.ClassCAA, here.Endpoint) < 0 {
				t.Error("what the doctor found is lost")
			}
			if x := doctor.ProblemEntries(latest, &doctor.Examination{}, ledger.Revision{}, reconciletest.Start.Add(time.Hour)); len(x) != 1 || x[0].Problems.Find(ledger.ClassCAA, here.Endpoint) >= 0 || len(x[0].Problems.Served("")) != len(latest.Served("")) {
				t.Errorf("the doctor leads to %+v", x)
			}
		})
	}
}

// TestStatusPageServed checks that STATUS.md names what an endpoint serves, unless all
// is well.
func TestStatusPageServed(t *testing.T) {
	var p *ledger.Problems
	if page := string(statuspage.StatusPage(nil, p)); strings.Contains(page, "served") {
		t.Errorf("without problems it says\n%s", page)
	}
	p = &ledger.Problems{}
	for i := range 52 {
		p = p.With(ledger.Problem{Operation: ledger.KindProbe, Since: reconciletest.Start, Finding: ledger.Finding{Class: ledger.ClassStale, Message: "serves *serial* 06", About: "e:443", Certificates: []string{fmt.Sprintf("c%02d", i)}}}, reconciletest.Start)
	}
	p = p.With(ledger.Problem{Operation: ledger.KindDoctor, Finding: ledger.Finding{Message: "another matter"}}, reconciletest.Start)
	page := string(statuspage.StatusPage(nil, p))
	for _, want := range []string{"\n## What is served\n\n- **`c00`**, stale since 2026-11-23T12:00:00Z: serves `*serial*` 06\n", "- **`c49`**", "And 2 more, see `doctor.json`."} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in\n%s", want, page)
		}
	}
	if strings.Contains(page, "another matter") {
		t.Error("it tells what the doctor found as served")
	}
	if got := p.Served("c03"); len(got) != 1 || !slices.Equal(got[0].Certificates, []string{"c03"}) {
		t.Errorf("of one certificate there are %+v", got)
	}
}

// TestJudgeByTheChain checks that the right certificate is still a problem if its
// intermediate has expired, and that the chain's end counts as its expiry.
func TestJudgeByTheChain(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
	end := reconciletest.Start.Add(10 * times.Day)
	w.Ca.SignBy(t, end, false)
	w.Settle()
	live := w.Ledger.Record(t, "api").Live
	served := map[string][]*x509.Certificate{"192.0.2.1:443": w.SecretPair("tls/api").Chain}
	for at, want := range map[time.Time]monitor.Verdict{reconciletest.Start.Add(times.Day): monitor.VerdictCurrent, end.Add(time.Hour): monitor.Verdict(ledger.ClassExpired)} {
		l := monitor.Evaluate(monitor.Expectation{Certificate: w.Desired.Certificates[0], Live: live, Since: reconciletest.Start}, served, at)
		if l.Verdict != want || l.NotAfter == nil || !l.NotAfter.Equal(end) {
			t.Errorf("at %s: %s until %v (%s), want %s until %s", at, l.Verdict, l.NotAfter, l.Message, want, end)
		}
	}
}

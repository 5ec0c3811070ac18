package throttle_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/reconcile/reconciletest"
	"certroll/reconcile/throttle"
	"certroll/reconcile/times"
	"certroll/spec"
)

// TestLimits checks that the audit log determines when the next order may start.
func TestLimits(t *testing.T) {
	other := func(i int) string { return fmt.Sprintf("x%d.example.org", i) }
	sibling := func(i int) string { return fmt.Sprintf("x%d.example.com", i) }
	same := func(int) string { return "api.example.com" }
	failed := func(n int, at time.Duration, name string) (es []ledger.Event) {
		for i := range n {
			es = append(es, ledger.Event{Time: reconciletest.Start.Add(at), Certificate: "x", Operation: ledger.KindRenew, Status: ledger.Failed, Class: ledger.ClassValidation, Issuer: "ca",
				Directory: "https://ca.example/dir", FailedNames: []string{name}, OrderURL: fmt.Sprint("f", i)})
		}
		return es
	}
	missing := func(v *reconciletest.View) { v.Secret, v.Record = plan.Secret{}, nil }
	cases := map[string]struct {
		view    func(*reconciletest.View)
		history []ledger.Event
		until   time.Duration // end of the hold; 0: none
		detail  string
	}{
		"nothing yet":       {view: missing},
		"orders, one left":  {view: missing, history: reconciletest.Repeat(299, 60*times.Day, "", other)},
		"orders, none left": {view: missing, history: reconciletest.Repeat(300, 60*times.Day, "", other), until: 60*times.Day + 36*time.Second, detail: "issuer.ca allows no more than 300 new orders of one account per 3 hours; certroll orders this one at 2027-01-22T12:00:36Z"},
		"orders of another account": {view: func(v *reconciletest.View) {
			missing(v)
			team := *v.Desired.Issuers["ca"]
			team.Name, team.Account = "team", "team"
			v.C.Issuer, v.Desired.Issuers["team"] = "team", &team
		}, history: reconciletest.Repeat(300, 60*times.Day, "", other)},
		"orders of the same account": {view: func(v *reconciletest.View) {
			missing(v)
			short := *v.Desired.Issuers["ca"]
			short.Name, short.Profile = "short", "shortlived"
			v.C.Issuer, v.Desired.Issuers["short"] = "short", &short
		}, history: reconciletest.Repeat(300, 60*times.Day, "", other), until: 60*times.Day + 36*time.Second, detail: "issuer.short allows no more than 300 new orders of one account"},
		"orders of three hours ago": {view: missing, history: reconciletest.Repeat(300, 60*times.Day-4*time.Hour, "", other)},
		"domain, one left":          {view: missing, history: reconciletest.Repeat(49, 60*times.Day, "", sibling)},
		"domain, none left":         {view: missing, history: reconciletest.Repeat(50, 60*times.Day, "", sibling), until: 60*times.Day + 168*time.Hour/50, detail: "50 certificates for example.com per 7 days"},
		"domain of another account": {view: func(v *reconciletest.View) {
			missing(v)
			v.Desired.Issuers["ca"].Name = "two"
			v.C.Issuer = "two"
			v.Desired.Issuers["two"] = v.Desired.Issuers["ca"]
		}, history: reconciletest.Repeat(50, 60*times.Day, "", sibling), until: 60*times.Day + 168*time.Hour/50, detail: "certificates for example.com"},
		"domain at another CA": {view: func(v *reconciletest.View) {
			missing(v)
			v.Desired.Issuers["ca"].Directory = "https://other.example/dir"
		}, history: reconciletest.Repeat(50, 60*times.Day, "", sibling)},
		"domain, but a renewal":              {history: reconciletest.Repeat(50, 60*times.Day, "", sibling)},
		"domain, drawn by renewals":          {view: missing, history: reconciletest.Repeat(60, 60*times.Day, ledger.ExemptRenewal, sibling)},
		"domain, drawn within ARI's windows": {view: missing, history: reconciletest.Repeat(60, 60*times.Day, ledger.ExemptARI, sibling)},
		"same set":                           {history: reconciletest.Repeat(5, 60*times.Day, ledger.ExemptRenewal, same), until: 60*times.Day + 168*time.Hour/5, detail: "5 certificates for the same set of names per 7 days"},
		"same set, in ARI's window":          {view: func(v *reconciletest.View) { v.Says(59*times.Day, 61*times.Day, 0); v.Secret.Live.ARI = "a.b" }, history: reconciletest.Repeat(5, 60*times.Day, ledger.ExemptRenewal, same)},
		"same set, in ARI's window before":   {history: reconciletest.Repeat(5, 60*times.Day, ledger.ExemptARI, same)},
		"failed validations, four":           {history: failed(4, 60*times.Day, "api.example.com")},
		"failed validations, five":           {history: failed(5, 60*times.Day, "api.example.com"), until: 60*times.Day + 12*time.Minute, detail: "5 failed validations of api.example.com per 60 minutes"},
		"failed validations of another name": {history: failed(5, 60*times.Day, "www.example.com")},
		"failed validations in ARI's window": {view: func(v *reconciletest.View) { v.Says(59*times.Day, 61*times.Day, 0); v.Secret.Live.ARI = "a.b" }, history: failed(5, 60*times.Day, "api.example.com"), until: 60*times.Day + 12*time.Minute, detail: "failed validations"},
		"no limits":                          {view: func(v *reconciletest.View) { missing(v); v.Desired.Issuers["ca"].Limits = nil }, history: reconciletest.Repeat(500, 60*times.Day, "", sibling)},
		"no limit on orders":                 {view: func(v *reconciletest.View) { missing(v); v.Desired.Issuers["ca"].Limits.Orders = spec.Limit{} }, history: reconciletest.Repeat(500, 60*times.Day, "", other)},
		"by a clock that was ahead":          {view: missing, history: reconciletest.Repeat(50, 3650*times.Day, "", sibling), until: 60*times.Day + 168*time.Hour/50, detail: "for example.com"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			v := reconciletest.NewView()
			v.Desired.Issuers["ca"].Limits = reconciletest.LetsEncrypt()
			if tc.view != nil {
				tc.view(v)
			}
			v.Obs.History = tc.history
			a := v.At(60 * times.Day)
			if tc.until == 0 {
				if a.Kind == ledger.KindHold || !a.Kind.Orders() {
					t.Errorf("%s %s: %s", a.Kind, a.Reason, a.Detail)
				}
				return
			}
			reconciletest.Expect(t, a, ledger.KindHold, ledger.ReasonLimit, tc.detail)
			if !a.NotBefore.Equal(reconciletest.Start.Add(tc.until)) {
				t.Errorf("it waits until %s, want %s", a.NotBefore, reconciletest.Start.Add(tc.until))
			}
		})
	}
}

// TestOneOrderOfSeveralAttemptsIsCountedOnce checks that several attempts at one order
// count once.
func TestOneOrderOfSeveralAttemptsIsCountedOnce(t *testing.T) {
	fail := reconciletest.Done(0, "https://ca.example/order/1", "", "a.example.com")
	fail.Status, fail.Class, fail.ID = ledger.Failed, ledger.ClassCAUnavailable, "f"
	b := throttle.NewBook([]ledger.Event{fail, fail, reconciletest.Done(time.Hour, "https://ca.example/order/1", "", "a.example.com")}, nil)
	if n := len(b.Drawn[throttle.OrdersKey("https://ca.example/dir", "ca")]); n != 1 {
		t.Errorf("%d orders, want 1", n)
	}
	again := reconciletest.Done(time.Hour, "https://ca.example/order/2", "", "a.example.com")
	again.Orders = 2 // the first order was gone
	if n := len(throttle.NewBook([]ledger.Event{{Directory: "d", Issuer: "ca", Orders: 1 << 40}}, nil).Drawn[throttle.OrdersKey("d", "ca")]); n > 100 {
		t.Errorf("a stranger's word is %d orders", n)
	}
	b = throttle.NewBook([]ledger.Event{again}, nil)
	if n := len(b.Drawn[throttle.OrdersKey("https://ca.example/dir", "ca")]); n != 2 {
		t.Errorf("%d orders, want 2", n)
	}
}

// TestLimitsCountAccounts checks that attempts in progress or in the same plan count
// against the limits of their account and CA, even if their issuer's block has changed.
func TestLimitsCountAccounts(t *testing.T) {
	two := &spec.Limits{Orders: spec.Limit{Burst: 2, Window: 3 * time.Hour}}
	ca := func(change func(*spec.Issuer)) *spec.Issuer {
		i := &spec.Issuer{Name: "ca", Directory: "https://ca.example/dir"}
		change(i)
		return i
	}
	for name, c := range map[string]struct {
		atWork *spec.Issuer // of an attempt in progress; nil: none
		beside *spec.Issuer // another issuer block with a due certificate; nil: none
		past   string       // issuer of a recorded order; "": none
		goes   int          // of three certificates of issuer.ca, how many start
	}{
		"nothing":                         {goes: 2},
		"the same block":                  {atWork: ca(func(i *spec.Issuer) { i.Limits = two }), goes: 1},
		"limits added since":              {atWork: ca(func(*spec.Issuer) {}), goes: 1},
		"limits changed since":            {atWork: ca(func(i *spec.Issuer) { i.Limits = reconciletest.LetsEncrypt() }), goes: 1},
		"renamed since":                   {atWork: ca(func(i *spec.Issuer) { i.Name = "old" }), goes: 1},
		"contact and profile":             {atWork: ca(func(i *spec.Issuer) { i.Email, i.Profile = "old@example.com", "short" }), goes: 1},
		"another account":                 {atWork: ca(func(i *spec.Issuer) { i.Account = "team" }), goes: 2},
		"another binding":                 {atWork: ca(func(i *spec.Issuer) { i.EAB = &spec.EAB{KeyID: spec.Value{Text: "id"}} }), goes: 2},
		"another CA":                      {atWork: ca(func(i *spec.Issuer) { i.Directory = "https://other.example/dir" }), goes: 2},
		"a block without limits beside":   {beside: ca(func(i *spec.Issuer) { i.Name = "a" }), goes: 1},
		"a block with other limits":       {beside: ca(func(i *spec.Issuer) { i.Name, i.Limits = "a", reconciletest.LetsEncrypt() }), goes: 1},
		"a block of another account":      {beside: ca(func(i *spec.Issuer) { i.Name, i.Account = "a", "team" }), goes: 2},
		"the past of a renamed block":     {past: "old", goes: 1},
		"the past of one of two accounts": {past: "old", beside: ca(func(i *spec.Issuer) { i.Name, i.Account = "a", "team" }), goes: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			desired := reconciletest.Desire(reconciletest.Certificate("x1", "x1.example.com"), reconciletest.Certificate("x2", "x2.example.org"), reconciletest.Certificate("x3", "x3.example.net"))
			desired.Issuers["ca"].Limits = two
			obs := &plan.Observed{AtWork: map[string]plan.Work{}}
			if c.beside != nil {
				first := reconciletest.Certificate("a", "a.example.com")
				first.Issuer = c.beside.Name
				desired.Issuers[c.beside.Name] = c.beside
				desired.Certificates = append([]*spec.Certificate{first}, desired.Certificates...)
			}
			if c.atWork != nil {
				busy := reconciletest.Certificate("busy", "busy.example.com")
				obs.AtWork["busy"] = plan.Work{Certificate: "busy", Since: reconciletest.Start, Action: plan.Action{Kind: ledger.KindIssue, Certificate: "busy", Spec: busy, Issuer: c.atWork}}
			}
			if c.past != "" {
				e := reconciletest.Done(0, "https://ca.example/order/1", "", "y.example.com")
				e.Issuer = c.past
				obs.History = []ledger.Event{e}
			}
			n := 0
			for _, a := range plan.New(desired, obs, reconciletest.Start).Actions {
				if strings.HasPrefix(a.Certificate, "x") && a.Kind == ledger.KindIssue {
					n++
				}
			}
			if n != c.goes {
				t.Errorf("%d go, want %d", n, c.goes)
			}
		})
	}
}

func TestRegisteredDomain(t *testing.T) {
	for name, want := range map[string]string{
		"api.example.com": "example.com", "*.a.example.co.uk": "example.co.uk", "example.com": "example.com", "host.lab.test": "lab.test",
		"192.0.2.7": "192.0.2.7", "2001:db8:1:2:3::1": "2001:db8:1:2::/64", "localhost": "localhost",
	} {
		if got := ledger.RegisteredDomain(name); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

// TestWaves checks a change of issuer for sixty certificates of one registered domain.
// Fifty are ordered at once, the nearest to expiry first, and the others as tokens
// refill.
func TestWaves(t *testing.T) {
	cs := reconciletest.Crowd(60, "example.com")
	desired := reconciletest.Desire(cs...)
	desired.Issuers["ca"].Limits = reconciletest.LetsEncrypt()
	obs := &plan.Observed{Secrets: map[ledger.Location]plan.Secret{}, Records: map[string]*ledger.Record{}}
	for i, c := range cs {
		s := reconciletest.LiveSecret(c, func(l *ledger.Live) {
			l.Directory = "https://old.example/dir"
			l.NotAfter = reconciletest.Start.Add(90*times.Day - time.Duration(i)*time.Hour) // the last one expires first
		})
		obs.Secrets[plan.TargetOf(c)], obs.Records[c.Name] = s, reconciletest.LiveRecord(c, s)
	}
	if n := reconciletest.Count(plan.New(desired, obs, reconciletest.Start).Actions, ledger.KindReissue); n != 0 {
		t.Fatalf("%d go at once, without a person's consent", n)
	}
	reconciletest.Consented(desired, obs, reconciletest.Start)
	actions := plan.New(desired, obs, reconciletest.Start).Actions
	if n := reconciletest.Count(actions, ledger.KindReissue); n != 50 {
		t.Fatalf("%d go at once, want 50", n)
	}
	for i, a := range actions {
		wait := 0 * time.Second
		if n := 60 - i; n > 50 { // its place in the queue
			wait = time.Duration(n-50) * 168 * time.Hour / 50
		}
		if (a.Kind == ledger.KindHold) != (wait > 0) || wait > 0 && (!a.NotBefore.Equal(reconciletest.Start.Add(wait)) || a.Reason != ledger.ReasonLimit) {
			t.Errorf("%s: %s until %s, want a wait of %s", a.Certificate, a.Kind, a.NotBefore, wait)
		}
	}
}

// TestWhatWaitsHoldsUpNoOther checks that the queue of one domain delays no other
// domain.
func TestWhatWaitsHoldsUpNoOther(t *testing.T) {
	cs := append(reconciletest.Crowd(60, "example.com"), reconciletest.Certificate("z", "www.example.org"))
	desired := reconciletest.Desire(cs...)
	desired.Issuers["ca"].Limits = reconciletest.LetsEncrypt()
	desired.Issuers["ca"].Limits.Orders = spec.Limit{Burst: 60, Window: 3 * time.Hour}
	actions := plan.New(desired, &plan.Observed{}, reconciletest.Start).Actions
	if n := reconciletest.Count(actions, ledger.KindIssue); n != 51 {
		t.Errorf("%d go at once, want 50 of example.com and one of example.org", n)
	}
	reconciletest.Expect(t, actions[60], ledger.KindIssue, ledger.ReasonMissing, "")
}

// TestLimitsOverPasses runs sixty certificates of one domain through all passes: the CA
// must never reject an order, and there must be one order per certificate.
func TestLimitsOverPasses(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Crowd(60, "example.com")...)
	w.Desired.Issuers["ca"].Limits = reconciletest.LetsEncrypt()
	passes := 0
	for ; passes < 30; passes++ {
		w.Settle()
		next := time.Time{}
		for _, a := range w.Plan() {
			if a.Kind == ledger.KindHold && (next.IsZero() || a.NotBefore.Before(next)) {
				next = a.NotBefore
			}
		}
		if next.IsZero() {
			break
		}
		w.At = next
	}
	if len(w.Ca.Orders) != 60 {
		t.Errorf("%d orders", len(w.Ca.Orders))
	}
	if took := w.At.Sub(reconciletest.Start); took < 33*time.Hour || took > 34*time.Hour {
		t.Errorf("the last one went after %s, want ten times 202 minutes", took)
	}
	held := 0
	for _, e := range w.Ledger.Events(t) {
		if e.Status == ledger.Held {
			held++
			if e.Certificate != "" || e.Reason != ledger.ReasonLimit {
				t.Errorf("event: %+v", e)
			}
		}
	}
	if held == 0 || held > 2 {
		t.Errorf("%d events of what waits, want one a day", held)
	}
}

// TestRepairObeysLimits checks that a program that keeps overwriting a secret and
// destroys certroll's version causes no loop of orders.
func TestRepairObeysLimits(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
	w.Desired.Issuers["ca"].Limits = reconciletest.LetsEncrypt()
	w.Ca.Lifetime = times.Day // a tenth of the lifetime passes each time, so that only the limit holds
	w.Settle()
	for range 6 {
		w.At = w.At.Add(150 * time.Minute)
		s := w.Vault.Secrets["secret/tls/api"]
		for i := range s.Versions {
			s.Versions[i].Deleted = true
		}
		s.Versions = append(s.Versions, reconciletest.MemVersion{Data: map[string]string{"oops": "again"}})
		if _, err := w.Apply(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(w.Ca.Orders); n != 5 {
		t.Errorf("%d orders within 15 hours, want the 5 that the same set of names has", n)
	}
	a := w.Only()
	reconciletest.Expect(t, a, ledger.KindHold, ledger.ReasonRateLimited, "find out what keeps writing there")
	if a.NotBefore.Before(reconciletest.Start.Add(30 * time.Hour)) {
		t.Errorf("it waits until %s", a.NotBefore)
	}
}

// TestNearThePause checks that a name whose consecutive failures almost reach the CA's
// limit is tried once a day, however near expiry is.
func TestNearThePause(t *testing.T) {
	for failures, want := range map[int]time.Duration{1000: 10 * time.Minute, 1036: 24 * time.Hour, 1151: 24 * time.Hour} {
		w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
		w.Desired.Issuers["ca"].Limits = reconciletest.LetsEncrypt()
		w.Settle()
		r := w.Ledger.Record(t, "api")
		r.State, r.Failures, r.LastFailure = ledger.StateFailing, failures, &ledger.Failure{At: w.At, Class: ledger.ClassValidation}
		b, err := ledger.MarshalRecord(r)
		if err != nil {
			t.Fatal(err)
		}
		w.Ledger.Tree[ledger.RecordFile("api")] = &fstest.MapFile{Data: b}
		w.At = reconciletest.Start.Add(90*times.Day - time.Hour)
		w.Ca.Fail = func(op string, _ int) error {
			if op == "finish" {
				return &reconciletest.CaError{Code: "validation", Gone: true, Text: "no TXT record", OfNames: []string{"api.example.com"}}
			}
			return nil
		}
		if _, err := w.Apply(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := w.Only().NotBefore.Sub(w.At); got < want || got > want+want/10 {
			t.Errorf("after %d failures it waits %s, want %s", failures, got, want)
		}
	}
}

package limiter_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/limiter"
	"certroll/reconcile/plan"
	"certroll/reconcile/reconciletest"
	"certroll/spec"
)

func gateAction(name string, accounts ...string) *plan.Action {
	c := reconciletest.Certificate(name, name+".example.com")
	c.DNS = accounts
	return &plan.Action{Kind: ledger.KindRenew, Certificate: name, Spec: c, Issuer: &spec.Issuer{Name: "ca"}}
}

// enter waits until the gate admits the action, as a crew's queue does. In a bubble the
// wait takes no real time.
func enter(ctx context.Context, p *limiter.Pass, a *plan.Action) (leave func(ledger.Event), in limiter.End) {
	for {
		if leave, in = p.Try(a, func() bool { return true }); in != limiter.EndWaits {
			return leave, in
		}
		select {
		case <-ctx.Done():
			return nil, limiter.EndStopped
		case <-time.After(time.Millisecond):
		}
	}
}

// TestGateStartsSlowly checks that the gate admits three attempts at once until one has
// succeeded, and then all.
func TestGateStartsSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := limiter.New(time.Now).Begin(&spec.Spec{}, &plan.Observed{})
		var in atomic.Int64
		for i := range 10 {
			go func() {
				if _, got := enter(t.Context(), g, gateAction(string(rune('a'+i)), "lab")); got == limiter.EndDone {
					in.Add(1)
				}
			}()
		}
		synctest.Wait()
		if in.Load() != limiter.SlowStart {
			t.Errorf("%d are in, want %d", in.Load(), limiter.SlowStart)
		}
		g.Leave(plan.SubjectsOf(gateAction("a", "lab")), "ca", reconciletest.Succeeded(0, "a", "lab"))
		time.Sleep(time.Second)
		synctest.Wait()
		if in.Load() != 10 {
			t.Errorf("%d are in after a success, want all 10", in.Load())
		}
	})
}

// TestGateShuts checks that the gate closes after three failures with the only account.
// Waiting attempts get the reason, and attempts on another account continue.
func TestGateShuts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := limiter.New(time.Now).Begin(&spec.Spec{}, &plan.Observed{})
		for _, name := range []string{"a", "b", "c"} {
			if _, got := enter(t.Context(), g, gateAction(name, "lab")); got != limiter.EndDone {
				t.Fatalf("%s was not let in", name)
			}
		}
		var ends []limiter.End
		go func() {
			_, got := enter(t.Context(), g, gateAction("d", "lab"))
			ends = append(ends, got)
		}()
		synctest.Wait()
		for _, name := range []string{"a", "b", "c"} {
			g.Leave(plan.SubjectsOf(gateAction(name, "lab")), "ca", reconciletest.Failed(0, name, ledger.ClassDNSUnavailable, "lab", "timeout"))
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if len(ends) != 1 || ends[0] != limiter.EndHeld {
			t.Errorf("who waited got %v", ends)
		}
		two := gateAction("e", "lab", "dr")
		if _, got := enter(t.Context(), g, two); got != limiter.EndDone || len(two.Avoid) != 1 || two.Avoid[0] != "lab" {
			t.Errorf("with a second account it avoids %v", two.Avoid)
		}
		if es := g.HeldEvents(); len(es) != 1 || es[0].Class != ledger.ClassDNSUnavailable || es[0].Message != "timeout" || es[0].Detail != "dns.lab failed for 3 certificates in a row; 1 more were not tried, one at a time tries it again" {
			t.Errorf("events: %+v", es)
		}
	})
}

// TestGateOfOneDomain checks that a limit for one domain stops only that domain's
// certificates.
func TestGateOfOneDomain(t *testing.T) {
	g := limiter.New(time.Now).Begin(&spec.Spec{}, &plan.Observed{})
	for _, name := range []string{"a", "b", "c"} {
		if _, got := enter(t.Context(), g, gateAction(name, "lab")); got != limiter.EndDone {
			t.Fatal("not let in")
		}
		g.Leave(plan.SubjectsOf(gateAction(name, "lab")), "ca", reconciletest.Failed(0, name, ledger.ClassRateLimited, "", "too many certificates for example.com"))
	}
	other := gateAction("x", "lab")
	other.Spec.Domains[0].ASCII = "x.example.org"
	if _, got := enter(t.Context(), g, other); got != limiter.EndDone {
		t.Errorf("another domain: %v", got)
	}
	if _, got := enter(t.Context(), g, gateAction("d", "lab")); got != limiter.EndHeld {
		t.Errorf("the domain: %v", got)
	}
}

// TestGateOfAnAccountAtTwoCAs checks that attempts at one CA do not block another CA,
// even if no certificate has succeeded with their DNS account yet.
func TestGateOfAnAccountAtTwoCAs(t *testing.T) {
	g := limiter.New(time.Now).Begin(&spec.Spec{}, &plan.Observed{})
	in := func(name, issuer string) limiter.End {
		a := gateAction(name, "lab")
		a.Issuer.Name = issuer
		_, in := g.Try(a, func() bool { return true })
		return in
	}
	for _, name := range []string{"a", "b", "c"} {
		if got := in(name, "slow"); got != limiter.EndDone {
			t.Fatalf("%s was not let in", name)
		}
	}
	if got := in("d", "slow"); got != limiter.EndWaits {
		t.Errorf("one more at the slow CA: %v", got)
	}
	for i, want := range []limiter.End{limiter.EndDone, limiter.EndDone, limiter.EndDone, limiter.EndWaits} {
		if got := in(string(rune('e'+i)), "good"); got != want {
			t.Errorf("the %d. at the other one: %v", i+1, got)
		}
	}
}

// TestGateOfTwoAccounts checks a history that blames the second account and a pass that
// finds the first one broken. With every account in trouble, the remaining certificates
// are held and none waits. A certificate with a third account continues.
func TestGateOfTwoAccounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var history []ledger.Event
		for _, name := range []string{"x", "y", "z"} {
			history = append(history, reconciletest.Failed(0, name, ledger.ClassDNSUnauthorized, "b", "403"))
		}
		g := limiter.New(time.Now).Begin(&spec.Spec{}, &plan.Observed{History: history})
		for _, name := range []string{"c0", "c1", "c2"} {
			a := gateAction(name, "a", "b")
			leave, got := enter(t.Context(), g, a)
			if got != limiter.EndDone {
				t.Fatalf("%s was not let in", name)
			}
			leave(reconciletest.Failed(time.Hour, name, ledger.ClassDNSUnauthorized, "a", "403"))
		}
		if _, got := enter(t.Context(), g, gateAction("c3", "a", "b")); got != limiter.EndHeld {
			t.Errorf("with no account that works: %v, want it held", got)
		}
		third := gateAction("c4", "a", "b", "c")
		if _, got := enter(t.Context(), g, third); got != limiter.EndDone || len(third.Avoid) != 2 {
			t.Errorf("with a third account: %v, avoiding %v", got, third.Avoid)
		}
		probe := gateAction("c5", "b")
		probe.Probes = []ledger.Subject{ledger.AccountSubject("b")}
		if _, got := enter(t.Context(), g, probe); got != limiter.EndDone {
			t.Errorf("the plan's probe: %v", got)
		}
	})
}

// TestGateIsOneForPassesThatOverlap checks that overlapping passes share what they find
// out, and that the gate forgets it when both are over: by then the history has it.
func TestGateIsOneForPassesThatOverlap(t *testing.T) {
	g := limiter.New(time.Now)
	first, second := g.Begin(&spec.Spec{}, &plan.Observed{}), g.Begin(&spec.Spec{}, &plan.Observed{})
	var leaves []func(ledger.Event)
	for _, name := range []string{"a", "b", "c"} {
		leave, got := enter(t.Context(), first, gateAction(name, "lab"))
		if got != limiter.EndDone {
			t.Fatal("not let in")
		}
		leaves = append(leaves, leave)
	}
	for i, name := range []string{"a", "b", "c"} {
		e := reconciletest.Failed(0, name, ledger.ClassDNSUnavailable, "lab", "timeout")
		e.ID = name
		leaves[i](e)
	}
	if _, got := enter(t.Context(), second, gateAction("d", "lab")); got != limiter.EndHeld {
		t.Errorf("in the other pass: %v", got)
	}
	if _, got := enter(t.Context(), g.Begin(&spec.Spec{}, &plan.Observed{}), gateAction("e", "lab")); got != limiter.EndHeld {
		t.Errorf("in a pass that began meanwhile, and whose plan knows nothing of it: %v", got)
	}
	late := gateAction("f", "lab")
	late.Probes = []ledger.Subject{ledger.AccountSubject("lab")}
	if _, got := enter(t.Context(), second, late); got != limiter.EndHeld {
		t.Errorf("a probe that was planned before the last failure: %v", got)
	}
}

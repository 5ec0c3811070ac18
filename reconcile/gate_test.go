package reconcile

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"certroll/spec"
)

func gateAction(name string, accounts ...string) *Action {
	c := certificate(name, name+".example.com")
	c.DNS = accounts
	return &Action{Kind: KindRenew, Certificate: name, Spec: c, Issuer: &spec.Issuer{Name: "ca"}}
}

// TestGateStartsSlowly: three at once until one has worked, then everybody.
func TestGateStartsSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(time.Now)
		var in atomic.Int64
		for i := range 10 {
			go func() {
				if g.enter(t.Context(), gateAction(string(rune('a'+i)), "lab")) == endDone {
					in.Add(1)
				}
			}()
		}
		synctest.Wait()
		if in.Load() != slowStart {
			t.Errorf("%d are in, want %d", in.Load(), slowStart)
		}
		g.leave(subjectsOf(gateAction("a", "lab")), succeeded(0, "a", "lab"))
		synctest.Wait()
		if in.Load() != 10 {
			t.Errorf("%d are in after a success, want all 10", in.Load())
		}
	})
}

// TestGateShuts: three have failed with the only account; who waits is told,
// and what runs on another account is not.
func TestGateShuts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(time.Now)
		for _, name := range []string{"a", "b", "c"} {
			if g.enter(t.Context(), gateAction(name, "lab")) != endDone {
				t.Fatalf("%s was not let in", name)
			}
		}
		var ends []end
		go func() { ends = append(ends, g.enter(t.Context(), gateAction("d", "lab"))) }()
		synctest.Wait()
		for _, name := range []string{"a", "b", "c"} {
			g.leave(subjectsOf(gateAction(name, "lab")), failed(0, name, ClassDNSUnavailable, "lab", "timeout"))
		}
		synctest.Wait()
		if len(ends) != 1 || ends[0] != endHeld {
			t.Errorf("who waited got %v", ends)
		}
		two := gateAction("e", "lab", "dr")
		if g.enter(t.Context(), two) != endDone || len(two.Avoid) != 1 || two.Avoid[0] != "lab" {
			t.Errorf("with a second account it avoids %v", two.Avoid)
		}
		if es := g.heldEvents(); len(es) != 1 || es[0].Class != ClassDNSUnavailable || es[0].Message != "timeout" || es[0].Detail != "dns.lab failed for 3 certificates in a row; 1 more were not tried, one at a time tries it again" {
			t.Errorf("events: %+v", es)
		}
	})
}

// TestGateOfOneDomain: a limit that names the domain keeps out its
// certificates and no other ones.
func TestGateOfOneDomain(t *testing.T) {
	g := newGate(time.Now)
	for _, name := range []string{"a", "b", "c"} {
		if g.enter(t.Context(), gateAction(name, "lab")) != endDone {
			t.Fatal("not let in")
		}
		g.leave(subjectsOf(gateAction(name, "lab")), failed(0, name, ClassRateLimited, "", "too many certificates for example.com"))
	}
	other := gateAction("x", "lab")
	other.Spec.Domains[0].ASCII = "x.example.org"
	if got := g.enter(t.Context(), other); got != endDone {
		t.Errorf("another domain: %v", got)
	}
	if got := g.enter(t.Context(), gateAction("d", "lab")); got != endHeld {
		t.Errorf("the domain: %v", got)
	}
}

func TestGateLetsGoWhenStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		g := newGate(time.Now)
		for range slowStart {
			g.enter(ctx, gateAction("a", "lab"))
		}
		var got end
		go func() { got = g.enter(ctx, gateAction("b", "lab")) }()
		synctest.Wait()
		cancel()
		synctest.Wait()
		if got != endStopped {
			t.Errorf("got %v", got)
		}
	})
}

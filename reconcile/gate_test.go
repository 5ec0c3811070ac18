package reconcile

import (
	"context"
	"testing"
	"time"

	"certroll/spec"
)

// TestGateTriesNoMoreThanItTakes: while the first ones fail one after another,
// none takes the place of one that has failed already.
func TestGateTriesNoMoreThanItTakes(t *testing.T) {
	now := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	g := newGate(func() time.Time { return now })
	action := func(name string) *Action {
		return &Action{Certificate: name, Kind: KindIssue, Issuer: &spec.Issuer{Name: "ca"}, Spec: &spec.Certificate{Name: name, DNS: []string{"dns"}}}
	}
	stopped, stop := context.WithCancel(t.Context())
	stop() // whoever has to wait comes back at once
	enter := func(name string, want end) {
		t.Helper()
		if got := g.enter(stopped, action(name)); got != want {
			t.Fatalf("%s: entering ends in %d, want %d", name, got, want)
		}
	}
	fail := func(name string) {
		g.leave(subjectsOf(action(name)), Event{Status: Failed, Operation: KindIssue, Certificate: name, Issuer: "ca", Class: ClassCAUnavailable, Time: now})
	}
	for _, name := range []string{"a", "b", "c"} {
		enter(name, endDone)
	}
	enter("d", endStopped)
	fail("a")
	enter("d", endStopped)
	fail("b")
	enter("d", endStopped)
	fail("c")
	enter("d", endHeld)
	if events := g.heldEvents(); len(events) != 1 || events[0].Status != Held || events[0].Class != ClassCAUnavailable {
		t.Errorf("events of what is held: %+v", events)
	}

	// One success is proof, whatever failed before.
	g = newGate(func() time.Time { return now })
	enter("a", endDone)
	enter("b", endDone)
	enter("c", endDone)
	fail("a")
	g.leave(subjectsOf(action("b")), Event{Status: Success, Operation: KindIssue, Certificate: "b", Issuer: "ca", DNSAccount: "dns", Time: now})
	for _, name := range []string{"d", "e", "f", "g"} {
		enter(name, endDone)
	}
}

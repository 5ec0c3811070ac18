package reconcile

import (
	"context"
	"strings"
	"testing"
	"time"
)

// TestKilledWhileAsking: a certroll that ends each time before it could note
// what the CA answered does not ask at each start.
func TestKilledWhileAsking(t *testing.T) {
	w := newWorld(t, certificate("a", "a.example.com"))
	kill := func() *Report {
		t.Helper()
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		w.ca.fail = func(op string, _ int) error {
			if op != "order" {
				return nil
			}
			cancel() // what it was doing is noted nowhere, as after a SIGKILL
			return ctx.Err()
		}
		report, err := w.apply(ctx)
		if err != nil {
			t.Fatal(err)
		}
		w.at = w.at.Add(3 * time.Second)
		return report
	}
	for range 2 {
		if r := kill(); r.Interrupted != 1 {
			t.Fatalf("report %+v", r)
		}
	}
	if r := kill(); r.Failed() != 1 || r.Results[0].Event.Class != ClassInternal || !strings.Contains(r.Results[0].Event.Message, "ended 2 times") {
		t.Fatalf("report %+v", r)
	}
	for range 10 {
		if r := kill(); len(r.Results) != 0 || r.Interrupted != 0 {
			t.Fatalf("report %+v", r)
		}
	}
	if n := w.ca.calls["order"]; n != 2 {
		t.Errorf("the CA was asked %d times, want 2", n)
	}

	// Once the hold is over it is asked again, by the same key.
	w.ca.fail = nil
	w.at = w.ledger.record(t, "a").Hold.Until.Add(time.Second)
	w.settle()
	if n := w.ca.calls["order"]; n != 3 {
		t.Errorf("the CA was asked %d times, want 3", n)
	}
}

// TestKilledOnceWhileAsking: one such end costs nothing.
func TestKilledOnceWhileAsking(t *testing.T) {
	w := newWorld(t, certificate("a", "a.example.com"))
	ctx, cancel := context.WithCancel(context.Background())
	w.ca.fail = func(string, int) error { cancel(); return ctx.Err() }
	if r, err := w.apply(ctx); err != nil || r.Interrupted != 1 {
		t.Fatalf("report %+v, %v", r, err)
	}
	w.ca.fail = nil
	w.settle()
	if es := w.ledger.events(t); len(es) != 1 || es[0].Status != Success {
		t.Errorf("events %+v", es)
	}
}

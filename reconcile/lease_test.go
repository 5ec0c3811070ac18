package reconcile

import (
	"context"
	"testing"
	"time"
)

// toldFirst is a lease that looks at the ledger when it is given back.
type toldFirst struct {
	w    *world
	told int
}

func (l *toldFirst) Acquire(context.Context) (bool, string, time.Time, error) {
	return true, "us", l.w.at.Add(time.Minute), nil
}

func (l *toldFirst) Release(context.Context) error {
	l.told = len(l.w.ledger.events(l.w.t))
	return nil
}

// TestLeaseIsKeptUntilTheLedgerIsTold: whoever waits for the lease reads in the
// ledger what is held, and would ask the CA at once otherwise.
func TestLeaseIsKeptUntilTheLedgerIsTold(t *testing.T) {
	w := newWorld(t, certificate("a", "a.example.com"))
	lease := &toldFirst{w: w}
	w.opts.Lease = lease
	w.ca.fail = func(string, int) error {
		return &caError{class: "rate_limited", text: "too many", at: w.at.Add(time.Hour)}
	}
	if r, err := w.apply(context.Background()); err != nil || r.Failed() != 1 {
		t.Fatalf("report %+v, %v", r, err)
	}
	if lease.told != 1 {
		t.Errorf("the ledger had %d events when the lease was given back, want 1", lease.told)
	}
}

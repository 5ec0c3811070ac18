package reconcile

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// LeaseHeldError says that another reconciler is at work.
type LeaseHeldError struct {
	By    string
	Until time.Time
}

func (e *LeaseHeldError) Error() string {
	return fmt.Sprintf("taking the lease: %s holds it until %s; wait for it to end, or stop that one",
		e.By, e.Until.UTC().Format(time.RFC3339))
}

// Class says that it is Vault's matter.
func (e *LeaseHeldError) Class() string { return string(ClassVault) }

// tenancy is the lease as this process has it, for all that works under it at
// the same time: the first takes it, the last gives it back.
type tenancy struct {
	mu    sync.Mutex
	users int
	lost  context.Context // ends where the lease is lost
	leave func()          // stops renewing it, and waits for that
	until atomic.Int64    // when it ends unless it is renewed, in Unix nanoseconds
}

// fenced is over, too, from when the lease is by the clock. A process that was
// stopped for a while goes on where it was, before any timer of its fires: this
// is what keeps its next step back.
//
//	steps   ├─ order ─┤ stopped ........ ├─ over: no further step
//	lease   ├── until ────┤ another's ───────────────▶
type fenced struct {
	context.Context
	over func() bool
}

func (f fenced) Err() error {
	if err := f.Context.Err(); err != nil || !f.over() {
		return err
	}
	return context.Canceled
}

func (t *tenancy) extend(until time.Time)  { t.until.Store(until.UnixNano()) }
func (t *tenancy) over(now time.Time) bool { return now.UnixNano() > t.until.Load() }

// holdLease takes the lease and renews it until release is called; run ends
// where it is lost.
func (r *Reconciler) holdLease(ctx context.Context) (run context.Context, release func(), err error) {
	if r.opts.Lease == nil {
		return ctx, func() {}, nil
	}
	t := &r.tenancy
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.users > 0 && (t.lost.Err() != nil || t.over(r.opts.Now())) {
		return nil, nil, &failure{code: ClassVault, err: errors.New(
			"the lease was lost, and what was at work under it has not ended yet: nothing is begun until it has")}
	}
	if t.users == 0 {
		until, err := r.awaitLease(ctx)
		if err != nil {
			return nil, nil, err
		}
		t.extend(until)
		t.begin(context.WithoutCancel(ctx), r.renewLease)
	}
	t.users++
	run, cancel := context.WithCancel(ctx)
	detach := context.AfterFunc(t.lost, cancel)
	return fenced{run, func() bool { return t.over(r.opts.Now()) }}, func() {
		detach()
		cancel()
		r.releaseLease(ctx)
	}, nil
}

// begin renews the lease until leave is called or it is lost.
func (t *tenancy) begin(ctx context.Context, renew func(ctx context.Context, stop func())) {
	ctx, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		renew(ctx, stop)
	}()
	t.lost, t.leave = ctx, func() { stop(); <-done }
}

func (r *Reconciler) releaseLease(ctx context.Context) {
	t := &r.tenancy
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.users--; t.users > 0 {
		return
	}
	t.leave()
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	// A lease that is not released ends by itself.
	_ = r.opts.Lease.Release(end)
}

// awaitLease takes the lease, waiting for another's to end where it is asked to.
func (r *Reconciler) awaitLease(ctx context.Context) (until time.Time, err error) {
	patience := r.opts.Now().Add(r.opts.LeaseWait)
	for {
		held, by, until, err := r.opts.Lease.Acquire(ctx)
		if err != nil || held {
			return until, err
		}
		if until.After(patience) {
			return time.Time{}, &LeaseHeldError{By: by, Until: until}
		}
		r.opts.Progress("", "lease", "waiting for "+by+" to end, until "+until.UTC().Format(time.RFC3339)+" at the latest")
		select {
		case <-ctx.Done():
			return time.Time{}, ctx.Err()
		case <-time.After(leaseRefresh):
		}
	}
}

func (r *Reconciler) renewLease(ctx context.Context, stop func()) {
	tick := time.NewTicker(leaseRefresh)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		// One that has ended is another's matter, even where nobody took it yet.
		if r.tenancy.over(r.opts.Now()) {
			stop()
			return
		}
		held, _, next, err := r.opts.Lease.Acquire(ctx)
		switch {
		case err == nil && held:
			r.tenancy.extend(next)
		case err == nil:
			stop()
			return
		}
	}
}

package apply

import (
	"context"
	"errors"
	"time"

	"certroll/reconcile/failure"
	"certroll/reconcile/lease"
	"certroll/reconcile/ledger"
	"certroll/spec/await"
)

// HoldLease takes the lease and renews it until release is called. run ends if the lease
// is lost. Callers in one process share one lease; the last release gives it back.
func (r *Reconciler) HoldLease(ctx context.Context) (run context.Context, release func(), err error) {
	if r.Opts.Lease == nil {
		return ctx, func() {}, nil
	}
	t := &r.tenancy
	if err := t.turn.Acquire(ctx, 1); err != nil {
		return nil, nil, err
	}
	defer t.turn.Release(1)
	if t.users > 0 && (t.lost.Err() != nil || t.over(r.Opts.Now())) {
		return nil, nil, &failure.Error{Code: ledger.ClassVault, Err: errors.New(
			"the lease was lost, and what was at work under it has not ended yet: nothing is begun until it has")}
	}
	if t.users == 0 {
		until, err := r.awaitLease(ctx)
		if err != nil {
			return nil, nil, err
		}
		t.extend(until)
		// The renewal outlives the first user's context, because other users may join.
		t.begin(context.WithoutCancel(ctx), r.renewLease)
	}
	t.users++
	// Each user has a context of its own that also ends with the lease.
	run, cancel := context.WithCancel(ctx)
	detach := context.AfterFunc(t.lost, cancel)
	return lease.Fenced{Context: run, Over: func() bool { return t.over(r.Opts.Now()) }}, func() {
		detach()
		cancel()
		r.releaseLease(ctx)
	}, nil
}

// begin renews the lease in a goroutine until leave is called or the lease is lost.
func (t *tenancy) begin(ctx context.Context, renew func(ctx context.Context, stop func())) {
	ctx, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		renew(ctx, stop)
	}()
	t.lost, t.leave = ctx, func() { stop(); <-done }
}

// releaseLease gives up one use of the lease, and releases it with the last one.
func (r *Reconciler) releaseLease(ctx context.Context) {
	t := &r.tenancy
	ctx = context.WithoutCancel(ctx)
	if err := t.turn.Acquire(ctx, 1); err != nil {
		return
	}
	defer t.turn.Release(1)
	if t.users--; t.users > 0 {
		return
	}
	t.leave()
	end, cancel := context.WithTimeout(ctx, lease.WriteTimeout)
	defer cancel()
	// The error is ignored: a lease that is not released expires by itself.
	_ = r.Opts.Lease.Release(end)
}

// awaitLease takes the lease. It waits up to LeaseWait for another holder's lease to end.
func (r *Reconciler) awaitLease(ctx context.Context) (until time.Time, err error) {
	patience := r.Opts.Now().Add(r.Opts.LeaseWait)
	for {
		held, by, until, err := r.Opts.Lease.Acquire(ctx)
		if err != nil || held {
			return until, err
		}
		// The lease cannot become free in time: fail at once.
		if until.After(patience) {
			return time.Time{}, &lease.HeldError{By: by, Until: until}
		}
		r.Opts.Progress("", "lease", "waiting for "+by+" to end, until "+until.UTC().Format(time.RFC3339)+" at the latest")
		if err := await.Sleep(ctx, lease.LeaseRefresh); err != nil {
			return time.Time{}, err
		}
	}
}

// renewLease renews the lease every LeaseRefresh. Errors are ignored until the lease has
// expired by the clock, because the next try may succeed in time.
func (r *Reconciler) renewLease(ctx context.Context, stop func()) {
	tick := time.NewTicker(lease.LeaseRefresh)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		// An expired lease must not be renewed, even if it is free: another certroll may
		// have held and released it, and changed Vault in between.
		if r.tenancy.over(r.Opts.Now()) {
			stop()
			return
		}
		held, _, next, err := r.renewOnce(ctx)
		switch {
		case err == nil && held:
			r.tenancy.extend(next)
		case err == nil, r.tenancy.left(r.Opts.Now()) <= 0:
			stop()
			return
		}
	}
}

// renewOnce renews the lease within the time that is left of it: work under the lease must
// not outlast it while Vault does not answer.
func (r *Reconciler) renewOnce(ctx context.Context) (held bool, by string, until time.Time, err error) {
	limited, cancel := context.WithTimeout(ctx, r.tenancy.left(r.Opts.Now()))
	defer cancel()
	return r.Opts.Lease.Acquire(limited)
}

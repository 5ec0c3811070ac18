package reconcile

import (
	"context"
	"fmt"
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

// holdLease takes the lease and renews it until release is called; ctx ends
// where it is lost.
func (r *Reconciler) holdLease(ctx context.Context) (run context.Context, release func(), err error) {
	if r.opts.Lease == nil {
		return ctx, func() {}, nil
	}
	until, err := r.awaitLease(ctx)
	if err != nil {
		return nil, nil, err
	}
	run, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.renewLease(run, stop, until)
	}()
	return run, func() {
		stop()
		<-done
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
		defer cancel()
		// A lease that is not released ends by itself.
		_ = r.opts.Lease.Release(end)
	}, nil
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

func (r *Reconciler) renewLease(ctx context.Context, stop func(), until time.Time) {
	tick := time.NewTicker(leaseRefresh)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		held, _, next, err := r.opts.Lease.Acquire(ctx)
		switch {
		case err == nil && held:
			until = next
		case err == nil || r.opts.Now().After(until):
			stop()
			return
		}
	}
}

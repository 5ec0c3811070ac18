package apply_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"certroll/reconcile/reconciletest"
)

// leaseAfterPush is a lease that inspects the ledger when it is released.
type leaseAfterPush struct {
	w      *reconciletest.World
	pushes int
}

func (l *leaseAfterPush) Acquire(context.Context) (bool, string, time.Time, error) {
	return true, "us", l.w.At.Add(time.Minute), nil
}

func (l *leaseAfterPush) Release(context.Context) error {
	l.pushes = len(l.w.Ledger.Events(l.w.T))
	return nil
}

// TestLeaseIsKeptUntilTheLedgerIsTold checks that certroll pushes the ledger before it
// releases the lease. Otherwise the next holder would miss a hold and contact the CA at
// once.
func TestLeaseIsKeptUntilTheLedgerIsTold(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("a", "a.example.com"))
	lease := &leaseAfterPush{w: w}
	w.Opts.Lease = lease
	w.Ca.Fail = func(string, int) error {
		return &reconciletest.CaError{Code: "rate_limited", Text: "too many", At: w.At.Add(time.Hour)}
	}
	if r, err := w.Apply(context.Background()); err != nil || r.Failed() != 1 {
		t.Fatalf("report %+v, %v", r, err)
	}
	if lease.pushes != 1 {
		t.Errorf("the ledger had %d events when the lease was given back, want 1", lease.pushes)
	}
}

// brief is a lease that is not renewed in time.
type brief struct{ until time.Time }

func (l brief) Acquire(context.Context) (bool, string, time.Time, error) {
	return true, "us", l.until, nil
}
func (l brief) Release(context.Context) error { return nil }

// TestLeaseEndsWhileStopped checks a process that is suspended during an attempt and
// resumes after its lease has expired: it takes no further step, and this is no
// failure.
func TestLeaseEndsWhileStopped(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("a", "a.example.com"))
	w.Opts.Lease = brief{w.At.Add(time.Minute)}
	w.Ca.Fail = func(op string, _ int) error {
		if op == "finish" {
			w.At = w.At.Add(time.Minute + time.Second)
		}
		return nil
	}
	r, err := w.Apply(context.Background())
	if err != nil || r.Interrupted != 1 || len(r.Results) != 0 {
		t.Fatalf("report %+v, %v", r, err)
	}
	if s := w.Vault.Secrets["secret/tls/a"]; s != nil {
		t.Errorf("it wrote all the same: %+v", s)
	}
	if e := w.Ledger.Events(t); len(e) != 0 {
		t.Errorf("events: %+v", e)
	}
	// The next holder of the lease finishes the same order.
	w.Ca.Fail, w.Opts.Lease = nil, brief{w.At.Add(time.Minute)}
	if r, err := w.Apply(context.Background()); err != nil || len(r.Results) != 1 || r.Failed() != 0 {
		t.Fatalf("report %+v, %v", r, err)
	}
	if n, _ := w.Ca.Ordered(); n != 1 {
		t.Errorf("%d orders, want 1", n)
	}
}

// mute is a lease that can be acquired, but whose renewal gets no answer.
type mute struct{ taken bool }

func (l *mute) Acquire(ctx context.Context) (bool, string, time.Time, error) {
	if !l.taken {
		l.taken = true
		return true, "us", time.Now().Add(time.Minute), nil
	}
	<-ctx.Done()
	return false, "", time.Time{}, ctx.Err()
}
func (l *mute) Release(context.Context) error { return nil }

// TestLeaseEndsWithoutAnAnswer checks that a lease whose renewal gets no answer ends on
// time, together with the work under it.
func TestLeaseEndsWithoutAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := reconciletest.NewWorld(t)
		w.Opts.Now, w.Opts.Lease = time.Now, &mute{}
		began := time.Now()
		run, release, err := w.Reconciler().HoldLease(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer release()
		select {
		case <-run.Done():
		case <-time.After(time.Hour):
			t.Fatal("what runs under the lease goes on an hour later")
		}
		if lasted := time.Since(began); lasted != time.Minute {
			t.Errorf("it ended after %s, want a minute", lasted)
		}
	})
}

// TestWaitForTheLeaseEndsWithItsCaller checks that a caller that waits for the lease
// ends with its own context while another caller waits for Vault's answer.
func TestWaitForTheLeaseEndsWithItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := reconciletest.NewWorld(t)
		w.Opts.Now, w.Opts.Lease = time.Now, &mute{taken: true}
		r := w.Reconciler()
		first, stop := context.WithTimeout(t.Context(), time.Hour)
		defer stop()
		ended := make(chan error)
		go func() {
			_, _, err := r.HoldLease(first)
			ended <- err
		}()
		synctest.Wait()
		began := time.Now()
		second, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, _, err := r.HoldLease(second); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Minute {
			t.Errorf("%v after %s, want the context's end after a minute", err, time.Since(began))
		}
		stop()
		<-ended
	})
}

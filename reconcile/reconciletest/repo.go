package reconciletest

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"certroll/reconcile"
	"certroll/reconcile/ledger"
	"certroll/spec"
)

// MemRepo is a config repo whose revision a test sets.
type MemRepo struct {
	Mu      sync.Mutex
	Desired *spec.Spec
	Err     error
	Pulls   int
}

// Pull implements reconcile.Repo.
func (r *MemRepo) Pull(context.Context) (*spec.Spec, ledger.Revision, error) {
	r.Mu.Lock()
	defer r.Mu.Unlock()
	r.Pulls++
	return r.Desired, ledger.Revision{Commit: "c0ffee", Author: "A. Owner <owner@example.com>"}, r.Err
}

// Keep runs a loop in a synctest bubble until stop is called.
func (w *World) Keep(repo reconcile.Repo, o reconcile.LoopOptions) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	loop := reconcile.NewLoop(w.Reconciler(), repo, o)
	go func() { defer close(done); loop.Run(ctx) }()
	return func() { cancel(); <-done }
}

// Bubble runs a test on a world whose clock is the bubble's.
func Bubble(t *testing.T, test func(w *World, repo *MemRepo), certificates ...*spec.Certificate) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := NewWorld(t, certificates...)
		w.Opts.Now, w.Ca.Now = time.Now, time.Now
		test(w, &MemRepo{Desired: w.Desired})
	})
}

// MemMoments stores moments in memory.
type MemMoments map[string]time.Time

// Load implements attempt.Moments.
func (m MemMoments) Load() (map[string]time.Time, error) { return m, nil }

// Save implements attempt.Moments.
func (m MemMoments) Save(next map[string]time.Time) error {
	for k, v := range next {
		m[k] = v
	}
	return nil
}

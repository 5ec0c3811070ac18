package reconciletest

import (
	"context"
	"errors"
	"io/fs"
	"sync/atomic"
	"testing"

	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
)

// DyingAt lets a run die at its n-th call, and reports whether it did.
func (w *World) DyingAt(n int) bool {
	var calls atomic.Int64
	var died atomic.Bool
	step := func() error {
		if calls.Add(1) >= int64(n) {
			died.Store(true)
			return errors.New("crash")
		}
		return nil
	}
	w.Vault.Fail = func(string, string) error { return step() }
	w.Ca.Fail = func(string, int) error { return step() }
	defer func() { w.Vault.Fail, w.Ca.Fail = nil, nil }()
	obs, err := w.Reconciler().Observe(context.Background(), w.Desired)
	if err != nil {
		return died.Load()
	}
	r := w.Reconciler()
	r.Writer.Ledger, r.Writer.Journal = &DyingLedger{w.Ledger, &died}, &DyingJournal{w.Journal, &died}
	_, _ = r.Apply(context.Background(), w.Desired, ledger.Revision{Commit: "c0ffee"}, plan.New(w.Desired, obs, w.At))
	return died.Load()
}

// CheckSettled fails t unless Vault and ledger are as after an undisturbed run.
func CheckSettled(t *testing.T, w *World) {
	t.Helper()
	if err := w.SecretPair("tls/api").Check([]string{"api.example.com"}, w.At); err != nil {
		t.Error(err)
	}
	if n := len(w.Ca.Orders); n != 1 {
		t.Errorf("%d orders, want 1", n)
	}
	if a := w.Only(); a.Kind != ledger.KindNone || a.Secret.Version != 1 {
		t.Errorf("plan afterwards: %s, version %d", a.Kind, a.Secret.Version)
	}
	if es := w.Ledger.Events(t); len(es) != 1 || es[0].Status != ledger.Success || es[0].Operation != ledger.KindIssue {
		t.Errorf("events: %+v", es)
	}
	if len(w.Vault.Secrets) != 1 {
		t.Errorf("%d secrets are left, want 1", len(w.Vault.Secrets))
	}
}

// DyingJournal panics to simulate the end of the process.
type DyingJournal struct {
	*MemJournal
	Dead *atomic.Bool
}

// Append panics at its chosen call.
func (j *DyingJournal) Append(line []byte) error {
	if j.Dead.Load() {
		return errors.New("crash")
	}
	return j.MemJournal.Append(line)
}

// DyingLedger panics before or after a commit.
type DyingLedger struct {
	*MemLedger
	Dead *atomic.Bool
}

// Commit drops the memory of a dead process: it pushes nothing of it.
func (l *DyingLedger) Commit(ctx context.Context, message string, edit func(fs.FS) (map[string][]byte, error)) (string, error) {
	if l.Dead.Load() {
		return "", errors.New("crash")
	}
	return l.MemLedger.Commit(ctx, message, edit)
}

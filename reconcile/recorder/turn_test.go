package recorder_test

import (
	"context"
	"errors"
	"io/fs"
	"testing"
	"time"

	"certroll/reconcile/apply"
	"certroll/reconcile/ledger"
	"certroll/reconcile/observe"
)

// hungLedger is a ledger whose Git never answers.
type hungLedger struct{ asked chan struct{} }

func (l hungLedger) Snapshot(ctx context.Context) (fs.FS, string, error) {
	l.asked <- struct{}{}
	<-ctx.Done()
	return nil, "", ctx.Err()
}

func (l hungLedger) Commit(ctx context.Context, _ string, _ func(fs.FS) (map[string][]byte, error)) (string, error) {
	l.asked <- struct{}{}
	<-ctx.Done()
	return "", ctx.Err()
}

// TestHungGitHoldsUpNobody checks that a caller that waits for another's exchange with
// Git ends with its own context, and that reading the cached ledger does not wait.
func TestHungGitHoldsUpNobody(t *testing.T) {
	w := newMooredWorld(t)
	l := hungLedger{make(chan struct{})}
	r := apply.New(&observe.Observer{Metadata: w.Vault}, w.Vault, w.Ca, l, w.Journal, w.Opts)
	if err := r.Writer.Note(ledger.Entry{Event: ledger.Event{ID: "e1"}}); err != nil {
		t.Fatal(err)
	}
	hung, end := context.WithCancel(t.Context())
	defer end()
	go r.Writer.Flush(hung)
	go r.Snapshot(hung)
	<-l.asked
	<-l.asked
	impatient, stop := context.WithCancel(t.Context())
	stop()
	for name, do := range map[string]func() error{
		"flush":    func() error { _, _, err := r.Writer.Flush(impatient); return err },
		"snapshot": func() error { _, _, err := r.Snapshot(impatient); return err },
		"what was seen": func() error {
			r.Writer.Seen()
			_, err := r.Backlog()
			return errors.Join(err, r.Unanchored(), impatient.Err())
		},
	} {
		done := make(chan error, 1)
		go func() { done <- do() }()
		select {
		case err := <-done:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", name, err)
			}
		case <-time.After(30 * time.Second):
			t.Errorf("%s waits for the other", name)
		}
	}
}

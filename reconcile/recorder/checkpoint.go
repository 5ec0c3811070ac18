package recorder

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"certroll/reconcile/archive"
	"certroll/reconcile/audit"
	"certroll/reconcile/failure"
	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/spec/text"
)

// Checkpoint compares the ledger with its checkpoint in Vault (the anchor), and advances
// the checkpoint.
//
//	push ── checkpoint ── push ── killed        the checkpoint lags: no problem
//	push ── checkpoint ── rewritten by others   astray: reported first, then a
//	                                            new checkpoint
//
// certroll writes the checkpoint after the push. A crash in between therefore leaves the
// checkpoint behind the ledger, never ahead of it: a ledger that lacks the checkpoint's
// commit was rewound.
type Checkpoint struct {
	Anchor  audit.Anchor
	Looking *semaphore.Weighted // serializes comparisons
	survey  audit.Surveyor

	mu     sync.Mutex // not held during calls to Git
	astray bool       // the last comparison found a rewind that the ledger does not report yet
	err    error      // error of the last comparison
}

// maxCheckpointTries bounds the repeats of a comparison after another replica has moved
// the checkpoint meanwhile.
const maxCheckpointTries = 3

// Snapshot returns the ledger's tree after comparing it with the checkpoint, if there is
// one. A problem with the checkpoint holds up nothing, because certificates must not
// expire because of it; see Unanchored. If the ledger cannot be fetched, Snapshot returns
// the tree seen last, and fresh is false.
func (r *Recorder) Snapshot(ctx context.Context) (tree fs.FS, fresh bool, err error) {
	m := &r.Checkpoint
	if m.Anchor == nil {
		tree, _, fresh, err = r.Writer.Snapshot(ctx)
		return tree, fresh, err
	}
	if err := m.Looking.Acquire(ctx, 1); err != nil {
		return nil, false, err
	}
	defer m.Looking.Release(1)
	for try := 1; ; try++ {
		// The checkpoint is loaded first: pushes since then only add to its history.
		fields, version, loadErr := m.Anchor.Load(ctx)
		tree, head, fresh, err := r.Writer.Snapshot(ctx)
		if err != nil || !fresh {
			return tree, fresh, err
		}
		if loadErr == nil {
			loadErr = r.keepCheckpoint(ctx, tree, head, fields, version)
		}
		m.mu.Lock()
		m.err = loadErr
		m.mu.Unlock()
		// A conflict means that another replica moved the checkpoint: compare with the
		// new one.
		if !failure.IsConflict(loadErr) || try == maxCheckpointTries {
			return tree, true, nil
		}
	}
}

// keepCheckpoint compares a ledger with its checkpoint and records a rewind. It advances
// the checkpoint if all is in order, or once the ledger reports the rewind.
func (r *Recorder) keepCheckpoint(ctx context.Context, tree fs.FS, head string, fields map[string]string, version int) error {
	m := &r.Checkpoint
	was, err := audit.MarkOf(fields)
	if err != nil {
		return audit.Foreign("checkpoint", m.Anchor, err)
	}
	// Unchanged since the last comparison.
	if was == nil && head == "" || was != nil && was.Head == head {
		m.found(false)
		return nil
	}
	now, err := m.survey.Mark(tree, head)
	if err != nil {
		return err
	}
	found, err := was.Astray(ctx, now, tree, r.Writer.Ledger)
	if err != nil {
		return err
	}
	astray, err := r.lacksReport(found, was, tree)
	m.found(astray)
	if err != nil || astray {
		return err
	}
	// A new nonce for each checkpoint, see untold.
	now.At, now.Nonce = r.Now(), rand.Text()
	return m.Anchor.Store(ctx, now.Fields(), version)
}

// found stores the result of a comparison.
func (m *Checkpoint) found(astray bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.astray = astray
}

// lacksReport reports whether the ledger lacks the report of a rewind, and records the report.
// The report's ID derives from a random nonce of the checkpoint: an attacker who rebuilds
// the ledger cannot guess the ID, and so cannot include a report that suppresses this
// one.
func (r *Recorder) lacksReport(found []archive.Breach, was *audit.Mark, tree fs.FS) (bool, error) {
	if len(found) == 0 {
		return false, nil
	}
	id := ledger.EventID("astray", was.Nonce)
	reported, err := Tells(tree, id)
	if err != nil || reported {
		return false, err
	}
	waiting, err := r.Writer.entries()
	if err != nil {
		return true, err
	}
	for _, e := range waiting {
		if e.Event.ID == id {
			return true, nil
		}
	}
	for _, f := range found {
		r.Rewound(f)
	}
	e := rewoundEvent(id, found[0], r.Now())
	e.OldRevision = was.Head
	e.Detail = fmt.Sprintf("the ledger does not match its state %s, with %s: it was moved back, rewritten or deleted; an older clone has the lost events", was.Anchored(), text.Counted(was.Events, "event"))
	return true, r.Writer.Note(ledger.Entry{Event: e})
}

// Tells reports whether an event with this ID is in the ledger's newest two audit files.
func Tells(tree fs.FS, id string) (bool, error) {
	files, err := archive.AuditFiles(tree)
	if err != nil {
		return false, err
	}
	ids := map[string]bool{}
	for _, f := range files[max(0, len(files)-2):] {
		b, err := fs.ReadFile(tree, f)
		if errors.Is(err, fs.ErrInvalid) {
			continue // Unreadable reports it
		}
		if err != nil {
			return false, fmt.Errorf("reading the ledger's %s: %w", f, err)
		}
		ledger.IdsIn(b, ids)
	}
	return ids[id], nil
}

// Unanchored returns the error of the last comparison; nil if it worked or if there is no
// checkpoint.
func (r *Recorder) Unanchored() error {
	r.Checkpoint.mu.Lock()
	defer r.Checkpoint.mu.Unlock()
	return r.Checkpoint.err
}

// isAstray reports whether the report of a rewind still waits for its publish.
func (r *Recorder) isAstray() bool {
	r.Checkpoint.mu.Lock()
	defer r.Checkpoint.mu.Unlock()
	return r.Checkpoint.astray
}

// rewoundEvent returns the event of a rewind.
func rewoundEvent(id string, f archive.Breach, at time.Time) ledger.Event {
	return ledger.Event{
		Schema: ledger.EventSchema, ID: id, Time: at.UTC().Truncate(time.Millisecond),
		Operation: ledger.KindNote, Status: ledger.Failed, Severity: ledger.SeverityPage, Reason: ledger.ReasonRewound, Actor: "unknown", Cause: "drift", Class: ledger.ClassGit,
		Message: f.Problem + ": expected " + f.Expected + ", seen " + f.Seen,
	}
}

// LedgerMoment is the key under which Moments stores that this machine has written the
// ledger.
const LedgerMoment = "ledger written"

// IsAstray reports whether the last comparison found a rewound or deleted ledger.
func (m *Checkpoint) IsAstray() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.astray
}

// WithoutOrders returns the actions that need no order.
func WithoutOrders(todo []plan.Action) []plan.Action {
	return slices.DeleteFunc(slices.Clone(todo), func(a plan.Action) bool { return a.Kind.Orders() })
}

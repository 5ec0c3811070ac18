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

// Checkpoint holds the ledger against its anchor, and moves the anchor up.
//
//	push ── anchor ── push ── killed        the anchor lags: in order
//	push ── anchor ── rewritten by others   astray: told, and only then
//	                                        anchored anew
//
// It is always the anchor that lags, never the ledger: the anchor is written
// after the push.
type Checkpoint struct {
	Anchor  audit.Anchor
	Looking *semaphore.Weighted // of those that hold the ledger against it
	survey  audit.Surveyor

	mu     sync.Mutex // is not held while Git is talked to
	astray bool       // what the last look found is not in the ledger yet
	err    error      // why the last look came to nothing
}

// maxCheckpointTries bounds how often a look is repeated because another replica
// moved the anchor at the same time.
const maxCheckpointTries = 3

// Snapshot is the ledger's tree, held against its anchor where there is one.
// What is wrong with the anchor holds nothing up: certificates must not expire
// of it. Not fresh is the one that was seen last, where it cannot be fetched.
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
		// The anchor first: what was pushed since then only adds to what it says.
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
		if !failure.IsConflict(loadErr) || try == maxCheckpointTries {
			return tree, true, nil
		}
	}
}

// keepCheckpoint holds a ledger against its anchor: what is astray is noted, and the
// anchor moved where all is in order or the ledger tells that it was not.
func (r *Recorder) keepCheckpoint(ctx context.Context, tree fs.FS, head string, fields map[string]string, version int) error {
	m := &r.Checkpoint
	was, err := audit.MarkOf(fields)
	if err != nil {
		return audit.Foreign("checkpoint", m.Anchor, err)
	}
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
	astray, err := r.untold(found, was, tree)
	m.found(astray)
	if err != nil || astray {
		return err
	}
	now.At, now.Nonce = r.Now(), rand.Text()
	return m.Anchor.Store(ctx, now.Fields(), version)
}

func (m *Checkpoint) found(astray bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.astray = astray
}

// untold tells whether something is astray of which the ledger does not tell,
// and notes it. It is known again by an id that nobody could have foreseen: an
// event of that id in a ledger that was made anew would have it kept quiet.
func (r *Recorder) untold(found []archive.Breach, was *audit.Mark, tree fs.FS) (bool, error) {
	if len(found) == 0 {
		return false, nil
	}
	id := ledger.EventID("astray", was.Nonce)
	told, err := Tells(tree, id)
	if err != nil || told {
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

// Tells reports whether the newest of a ledger's events are of an id.
func Tells(tree fs.FS, id string) (bool, error) {
	files, err := archive.AuditFiles(tree)
	if err != nil {
		return false, err
	}
	ids := map[string]bool{}
	for _, f := range files[max(0, len(files)-2):] {
		b, err := fs.ReadFile(tree, f)
		if errors.Is(err, fs.ErrInvalid) {
			continue // see Unreadable
		}
		if err != nil {
			return false, fmt.Errorf("reading the ledger's %s: %w", f, err)
		}
		ledger.IdsIn(b, ids)
	}
	return ids[id], nil
}

// Unanchored is why the ledger could not be held against its anchor the last
// time; nil: it could, or has none.
func (r *Recorder) Unanchored() error {
	r.Checkpoint.mu.Lock()
	defer r.Checkpoint.mu.Unlock()
	return r.Checkpoint.err
}

// isAstray tells whether an event of the anchor's waits to be told.
func (r *Recorder) isAstray() bool {
	r.Checkpoint.mu.Lock()
	defer r.Checkpoint.mu.Unlock()
	return r.Checkpoint.astray
}

// rewoundEvent tells of a ledger that was rewritten.
func rewoundEvent(id string, f archive.Breach, at time.Time) ledger.Event {
	return ledger.Event{
		Schema: ledger.EventSchema, ID: id, Time: at.UTC().Truncate(time.Millisecond),
		Operation: ledger.KindNote, Status: ledger.Failed, Severity: ledger.SeverityPage, Reason: ledger.ReasonRewound, Actor: "unknown", Cause: "drift", Class: ledger.ClassGit,
		Message: f.Problem + ": expected " + f.Expected + ", seen " + f.Seen,
	}
}

// LedgerMoment is the name under which it is kept that this machine has written the
// ledger.
const LedgerMoment = "ledger written"

// IsAstray tells that the last look found the ledger rewritten or gone.
func (m *Checkpoint) IsAstray() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.astray
}

// WithoutOrders leaves out what asks the CA.
func WithoutOrders(todo []plan.Action) []plan.Action {
	return slices.DeleteFunc(slices.Clone(todo), func(a plan.Action) bool { return a.Kind.Orders() })
}

package reconcile

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"certroll/spec/text"
)

// mooring holds the ledger against its anchor, and moves the anchor up.
//
//	push ── anchor ── push ── killed        the anchor lags: in order
//	push ── anchor ── rewritten by others   astray: told, and only then
//	                                        anchored anew
//
// It is always the anchor that lags, never the ledger: the anchor is written
// after the push.
type mooring struct {
	anchor  Anchor
	looking *semaphore.Weighted // of those that hold the ledger against it
	survey  surveyor

	mu     sync.Mutex // is not held while Git is talked to
	astray bool       // what the last look found is not in the ledger yet
	err    error      // why the last look came to nothing
}

// maxMoorings bounds how often a look is repeated because another replica
// moved the anchor at the same time.
const maxMoorings = 3

// snapshot is the ledger's tree, held against its anchor where there is one.
// What is wrong with the anchor holds nothing up: certificates must not expire
// of it. Not fresh is the one that was seen last, where it cannot be fetched.
func (r *Recorder) snapshot(ctx context.Context) (tree fs.FS, fresh bool, err error) {
	m := &r.mooring
	if m.anchor == nil {
		tree, _, fresh, err = r.scribe.snapshot(ctx)
		return tree, fresh, err
	}
	if err := m.looking.Acquire(ctx, 1); err != nil {
		return nil, false, err
	}
	defer m.looking.Release(1)
	for try := 1; ; try++ {
		// The anchor first: what was pushed since then only adds to what it says.
		fields, version, loadErr := m.anchor.Load(ctx)
		tree, head, fresh, err := r.scribe.snapshot(ctx)
		if err != nil || !fresh {
			return tree, fresh, err
		}
		if loadErr == nil {
			loadErr = r.moor(ctx, tree, head, fields, version)
		}
		m.mu.Lock()
		m.err = loadErr
		m.mu.Unlock()
		if !isConflict(loadErr) || try == maxMoorings {
			return tree, true, nil
		}
	}
}

// moor holds a ledger against its anchor: what is astray is noted, and the
// anchor moved where all is in order or the ledger tells that it was not.
func (r *Recorder) moor(ctx context.Context, tree fs.FS, head string, fields map[string]string, version int) error {
	m := &r.mooring
	was, err := markOf(fields)
	if err != nil {
		return foreign("checkpoint", m.anchor, err)
	}
	if was == nil && head == "" || was != nil && was.Head == head {
		m.found(false)
		return nil
	}
	now, err := m.survey.mark(tree, head)
	if err != nil {
		return err
	}
	found, err := was.astray(ctx, now, tree, r.scribe.ledger)
	if err != nil {
		return err
	}
	astray, err := r.untold(found, was, tree)
	m.found(astray)
	if err != nil || astray {
		return err
	}
	now.At, now.Nonce = r.now(), rand.Text()
	return m.anchor.Store(ctx, now.fields(), version)
}

func (m *mooring) found(astray bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.astray = astray
}

// untold tells whether something is astray of which the ledger does not tell,
// and notes it. It is known again by an id that nobody could have foreseen: an
// event of that id in a ledger that was made anew would have it kept quiet.
func (r *Recorder) untold(found []Breach, was *Mark, tree fs.FS) (bool, error) {
	if len(found) == 0 {
		return false, nil
	}
	id := eventID("astray", was.Nonce)
	told, err := tells(tree, id)
	if err != nil || told {
		return false, err
	}
	waiting, err := r.scribe.entries()
	if err != nil {
		return true, err
	}
	for _, e := range waiting {
		if e.Event.ID == id {
			return true, nil
		}
	}
	for _, f := range found {
		r.rewound(f)
	}
	e := rewoundEvent(id, found[0], r.now())
	e.OldRevision = was.Head
	e.Detail = fmt.Sprintf("the ledger does not match its state %s, with %s: it was moved back, rewritten or deleted; an older clone has the lost events", was.anchored(), text.Counted(was.Events, "event"))
	return true, r.scribe.note(entry{Event: e})
}

// tells reports whether the newest of a ledger's events are of an id.
func tells(tree fs.FS, id string) (bool, error) {
	files, err := auditFiles(tree)
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
		idsIn(b, ids)
	}
	return ids[id], nil
}

// Unanchored is why the ledger could not be held against its anchor the last
// time; nil: it could, or has none.
func (r *Recorder) Unanchored() error {
	r.mooring.mu.Lock()
	defer r.mooring.mu.Unlock()
	return r.mooring.err
}

// isAstray tells whether an event of the anchor's waits to be told.
func (r *Recorder) isAstray() bool {
	r.mooring.mu.Lock()
	defer r.mooring.mu.Unlock()
	return r.mooring.astray
}

// rewoundEvent tells of a ledger that was rewritten.
func rewoundEvent(id string, f Breach, at time.Time) Event {
	return Event{
		Schema: EventSchema, ID: id, Time: at.UTC().Truncate(time.Millisecond),
		Operation: KindNote, Status: Failed, Severity: SeverityPage, Reason: ReasonRewound, Actor: "unknown", Cause: "drift", Class: ClassGit,
		Message: f.Problem + ": expected " + f.Expected + ", seen " + f.Seen,
	}
}

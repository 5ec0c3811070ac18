package recorder

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"sync"
	"time"

	"certroll/reconcile/archive"
	"certroll/reconcile/ledger"
	"certroll/reconcile/times"
)

// Recorder is the only writer of the ledger, see the package comment.
type Recorder struct {
	Writer     *Writer
	Checkpoint Checkpoint
	Now        func() time.Time
	Rewound    func(archive.Breach) // called once per rewind that is found
	// OnPublished is called with the entries that the ledger has received.
	OnPublished func(ctx context.Context, published []ledger.Entry) error
	// OnChanged is called after each change of the ledger, from many goroutines.
	OnChanged func()

	triedMu sync.Mutex
	tried   time.Time // time of the last publish, or of its attempt

	problemsMu sync.Mutex       // held from reading the open problems to recording their changes
	problems   *ledger.Problems // as recorded last; nil: not yet

	lostMu sync.Mutex
	lost   []archive.Breach // parts of the ledger that the last read could not read

	heldMu sync.Mutex
	Held   map[string]time.Time // by event ID: when NoteHeld saw the event last
}

// Publish publishes the journal to the ledger, even if ctx has ended: a stopped run still
// reports what it did. commit is "" if there was nothing new.
func (r *Recorder) Publish(ctx context.Context) (commit string, err error) {
	// Bounded, because the caller may be shutting down.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
	defer cancel()
	r.triedMu.Lock()
	r.tried = r.Now()
	r.triedMu.Unlock()
	if err := r.noteRewound(); err != nil {
		return "", err
	}
	commit, published, err := r.Writer.Flush(ctx)
	if err != nil {
		return "", err
	}
	err = r.OnPublished(ctx, published)
	if commit != "" {
		// The push is done. The next Snapshot repeats the comparison with the checkpoint.
		_, _, _ = r.Snapshot(ctx)
		r.OnChanged()
	}
	return commit, err
}

// TriedAt returns the time of the last publish or its attempt.
func (r *Recorder) TriedAt() time.Time {
	r.triedMu.Lock()
	defer r.triedMu.Unlock()
	return r.tried
}

// NoteHeld records events about many certificates, each once until its ID changes (once a
// day): without this memory every pass would write them again.
func (r *Recorder) NoteHeld(events []ledger.Event) error {
	r.heldMu.Lock()
	defer r.heldMu.Unlock()
	now := r.Now()
	maps.DeleteFunc(r.Held, func(_ string, last time.Time) bool { return now.Sub(last).Abs() > 2*times.Day })
	for _, e := range events {
		if _, published := r.Held[e.ID]; !published {
			if err := r.Writer.Note(ledger.Entry{Event: e}); err != nil {
				return err
			}
		}
		r.Held[e.ID] = now
	}
	return nil
}

// Unreadable returns the parts of the ledger that the last read could not read.
func (r *Recorder) Unreadable() []archive.Breach {
	r.lostMu.Lock()
	defer r.lostMu.Unlock()
	return r.lost
}

// SetUnreadable stores the parts of the ledger that could not be read.
func (r *Recorder) SetUnreadable(lost []archive.Breach) {
	r.lostMu.Lock()
	defer r.lostMu.Unlock()
	r.lost = lost
}

// isHeld reports whether NoteHeld has recorded the event.
func (r *Recorder) isHeld(id string) bool {
	r.heldMu.Lock()
	defer r.heldMu.Unlock()
	_, published := r.Held[id]
	return published
}

// AmendProblems writes entries about the open problems to the journal. It returns the
// entries and the resulting problems. The lock makes reading and writing one step.
func (r *Recorder) AmendProblems(ctx context.Context, amend func(known *ledger.Problems) []ledger.Entry) (*ledger.Problems, []ledger.Entry, error) {
	r.problemsMu.Lock()
	defer r.problemsMu.Unlock()
	known, fresh, err := r.KnownProblems(ctx)
	if err != nil {
		return nil, nil, err
	}
	// An old tree lacks what this process has published since.
	if was := r.problems; !fresh && was != nil && was.UpdatedAt.After(known.UpdatedAt) {
		known = was // published, but the ledger could not be read since
	}
	entries := amend(known)
	for _, e := range entries {
		if err := r.Writer.Note(e); err != nil {
			return nil, nil, err
		}
	}
	r.problems = ledger.LatestProblems(known, entries)
	return r.problems, entries, nil
}

// KnownProblems returns the open problems, including unpublished ones. It reads the
// journal before the tree: an entry published in between is in both, otherwise it would
// be in neither. fresh is false if the problems come from the tree seen last.
func (r *Recorder) KnownProblems(ctx context.Context) (_ *ledger.Problems, fresh bool, err error) {
	waiting, err := r.Writer.entries()
	if err != nil {
		return nil, false, err
	}
	tree, fresh, err := r.Snapshot(ctx)
	if err != nil {
		return nil, false, err
	}
	known, err := archive.ReadProblems(tree)
	if err != nil {
		return nil, false, err
	}
	return ledger.LatestProblems(known, waiting), fresh, nil
}

// LookAnew returns the current ledger. It returns an error if the ledger cannot be
// fetched.
func (r *Recorder) LookAnew(ctx context.Context) (tree fs.FS, head string, err error) {
	_, fresh, err := r.Snapshot(ctx)
	if err == nil && !fresh {
		err = errors.New("the cached ledger lacks the last delivered event, and fetching the ledger failed")
	}
	tree, head = r.Writer.Seen()
	return tree, head, err
}

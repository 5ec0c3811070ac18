package recorder

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"sync"
	"time"

	"certroll/reconcile/archive"
	"certroll/reconcile/ledger"
	"certroll/reconcile/times"
)

// Recorder is the only writer of the ledger: journal first, then one commit for
// all that ended together, then the checkpoint in Vault. It knows no attempt and
// no CA. What has to follow a push is its owner's matter (onPublished).
//
//	note ──▶ journal ── publish ──▶ ledger ──▶ checkpoint
//	             └──────── onPublished(entries) ─────▶ pending secrets go
type Recorder struct {
	Writer     *Writer
	Checkpoint Checkpoint
	Now        func() time.Time
	Rewound    func(archive.Breach) // is called once for each ledger that is found rewritten
	// OnPublished is called with the entries that the ledger has now.
	OnPublished func(ctx context.Context, told []ledger.Entry) error
	// OnTold is called whenever the ledger has something new, from many goroutines.
	OnTold func()

	triedMu sync.Mutex
	tried   time.Time // when it was published last, or tried to be

	problemsMu sync.Mutex       // held from reading the open problems to noting what changes them
	problems   *ledger.Problems // as they were noted last; nil: not yet

	lostMu sync.Mutex
	lost   []archive.Breach // what of the ledger could not be read at the last look

	heldMu sync.Mutex
	Held   map[string]time.Time // by the id of an event that noteHeld has told, when it came last
}

// Publish brings the journal to the ledger, also where ctx has ended: a run that
// is told to stop still says what it did. commit is "" where nothing was new.
func (r *Recorder) Publish(ctx context.Context) (commit string, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
	defer cancel()
	r.triedMu.Lock()
	r.tried = r.Now()
	r.triedMu.Unlock()
	if err := r.noteRewound(); err != nil {
		return "", err
	}
	commit, told, err := r.Writer.Flush(ctx)
	if err != nil {
		return "", fmt.Errorf("writing the ledger: %w; the events are safe in the journal, and the next run writes them to the ledger", err)
	}
	err = r.OnPublished(ctx, told)
	if commit != "" {
		// The push is done: what goes wrong here is seen by the next look.
		_, _, _ = r.Snapshot(ctx)
		r.OnTold()
	}
	return commit, err
}

// TriedAt is when the ledger was told last, or tried to be.
func (r *Recorder) TriedAt() time.Time {
	r.triedMu.Lock()
	defer r.triedMu.Unlock()
	return r.tried
}

// NoteHeld tells of what is held for many at once, each once a day, and of what
// expires. However many these are, none is told with each pass.
func (r *Recorder) NoteHeld(events []ledger.Event) error {
	r.heldMu.Lock()
	defer r.heldMu.Unlock()
	now := r.Now()
	maps.DeleteFunc(r.Held, func(_ string, last time.Time) bool { return now.Sub(last).Abs() > 2*times.Day })
	for _, e := range events {
		if _, told := r.Held[e.ID]; !told {
			if err := r.Writer.Note(ledger.Entry{Event: e}); err != nil {
				return err
			}
		}
		r.Held[e.ID] = now
	}
	return nil
}

// Unreadable is what of the ledger could not be read at the last look.
func (r *Recorder) Unreadable() []archive.Breach {
	r.lostMu.Lock()
	defer r.lostMu.Unlock()
	return r.lost
}

// SetUnreadable keeps what could not be read.
func (r *Recorder) SetUnreadable(lost []archive.Breach) {
	r.lostMu.Lock()
	defer r.lostMu.Unlock()
	r.lost = lost
}

// isHeld tells whether noteHeld has told of an event.
func (r *Recorder) isHeld(id string) bool {
	r.heldMu.Lock()
	defer r.heldMu.Unlock()
	_, told := r.Held[id]
	return told
}

// AmendProblems puts entries about the open problems into the journal, and
// returns them with the problems that are open then.
func (r *Recorder) AmendProblems(ctx context.Context, amend func(known *ledger.Problems) []ledger.Entry) (*ledger.Problems, []ledger.Entry, error) {
	r.problemsMu.Lock()
	defer r.problemsMu.Unlock()
	known, fresh, err := r.KnownProblems(ctx)
	if err != nil {
		return nil, nil, err
	}
	if was := r.problems; !fresh && was != nil && was.UpdatedAt.After(known.UpdatedAt) {
		known = was // it was pushed, and the ledger could not be read since
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

// KnownProblems are those that were told, or are about to be. The journal is
// read before the tree: what is pushed in between is in both, and not in
// neither. Not fresh are those of the tree that was seen last.
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

// LookAnew is the ledger as it is now; one that cannot be had is an error.
func (r *Recorder) LookAnew(ctx context.Context) (tree fs.FS, head string, err error) {
	_, fresh, err := r.Snapshot(ctx)
	if err == nil && !fresh {
		err = errors.New("the cached ledger lacks the last delivered event, and fetching the ledger failed")
	}
	tree, head = r.Writer.Seen()
	return tree, head, err
}

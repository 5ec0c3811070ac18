package recorder

import (
	"time"

	"certroll/reconcile/audit"
	"certroll/reconcile/ledger"
)

// rememberer is implemented by a ledger that remembers the head of its branch.
type rememberer interface {
	// Rewound reports a branch that does not continue from the head seen last. now is ""
	// if the branch is gone. It repeats the report until a commit follows.
	Rewound() (old, now string, ok bool)
}

// noteRewound records a rewind in the ledger itself. From then on the report is part of
// the branch, and another rewind would be found as well.
func (r *Recorder) noteRewound() error {
	memory, ok := r.Writer.Ledger.(rememberer)
	if !ok {
		return nil
	}
	old, now, ok := memory.Rewound()
	if !ok {
		return nil
	}
	if r.isAstray() {
		return nil // the checkpoint has reported it with more details
	}
	f := audit.Rewound(old, now)
	at := r.Now().UTC()
	// The date in the ID repeats the report daily until a commit follows.
	e := rewoundEvent(ledger.EventID("rewound", old, now, at.Format(time.DateOnly)), f, at)
	e.Detail = "the ledger's branch was moved back, rewritten or deleted; an older clone has the lost events (git fsck --lost-found)"
	e.OldRevision = old
	e.Message = "expected " + f.Expected + ", seen " + f.Seen
	if !r.isHeld(e.ID) {
		r.Rewound(f)
	}
	return r.NoteHeld([]ledger.Event{e})
}

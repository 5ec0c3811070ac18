package recorder

import (
	"time"

	"certroll/reconcile/audit"
	"certroll/reconcile/ledger"
)

// A ledger may remember what it saw of its branch.
type rememberer interface {
	// Rewound tells of a branch that does not go on from the head seen last;
	// now is "" where it is gone. It goes on telling until it was asked and a
	// commit followed.
	Rewound() (old, now string, ok bool)
}

// noteRewound tells of a ledger that was rewritten in the ledger itself, where
// history cannot be lost a second time without being seen.
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
		return nil // the anchor has it noted, and knows more
	}
	f := audit.Rewound(old, now)
	at := r.Now().UTC()
	e := rewoundEvent(ledger.EventID("rewound", old, now, at.Format(time.DateOnly)), f, at)
	e.Detail = "the ledger's branch was moved back, rewritten or deleted; an older clone has the lost events (git fsck --lost-found)"
	e.OldRevision = old
	e.Message = "expected " + f.Expected + ", seen " + f.Seen
	if !r.isHeld(e.ID) {
		r.Rewound(f)
	}
	return r.NoteHeld([]ledger.Event{e})
}

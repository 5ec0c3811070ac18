package reconcile

import "time"

// A ledger may remember what it saw of its branch.
type rememberer interface {
	// Rewound tells of a branch that does not go on from the head seen last;
	// now is "" where it is gone. It goes on telling until it was asked and a
	// commit followed.
	Rewound() (old, now string, ok bool)
}

// ReasonRewound is the reason of an event about the ledger's own branch.
const ReasonRewound Reason = "ledger_rewound"

// noteRewound tells of a ledger that was rewritten in the ledger itself, where
// history cannot be lost a second time without being seen.
func (r *Reconciler) noteRewound() error {
	memory, ok := r.scribe.ledger.(rememberer)
	if !ok {
		return nil
	}
	old, now, ok := memory.Rewound()
	if !ok {
		return nil
	}
	f := Rewound(old, now)
	at := r.opts.Now().UTC()
	return r.noteHeld([]Event{{
		Schema: EventSchema, ID: eventID("rewound", old, now, at.Format(time.DateOnly)), Time: at.Truncate(time.Millisecond),
		Operation: KindNote, Status: Failed, Severity: SeverityPage, Reason: ReasonRewound, Actor: "unknown", Cause: "drift", Class: ClassGit,
		Detail:  "the ledger's branch was moved back, rewritten or deleted; what it said before is in a clone that is older (git fsck --lost-found)",
		Message: "expected " + f.Expected + ", seen " + f.Seen,
	}})
}

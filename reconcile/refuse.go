package reconcile

import (
	"context"
	"io/fs"
	"time"
)

// KindConfig is the operation of an event about a revision as a whole; no
// action is of this kind.
const KindConfig Kind = "config"

// ReasonRefused is the reason of a revision that was refused whole.
const ReasonRefused Reason = "revision_refused"

// Refuse tells the ledger that a revision was refused because of its mistakes.
// The same revision is told once, however often it is met.
func (r *Reconciler) Refuse(ctx context.Context, rev Revision, mistakes string) error {
	err := r.scribe.note(entry{Event: Event{
		Schema: EventSchema, ID: eventID("refused", rev.Commit, mistakes), Time: r.opts.Now().UTC().Truncate(time.Millisecond),
		Operation: KindConfig, Status: Failed, Reason: ReasonRefused, Class: ClassConfig,
		Actor: firstOf(rev.Author, "unknown"), Cause: "spec", Revision: rev.Commit, Message: mistakes,
		Detail: "the revision has mistakes and was refused whole; the last good one stays in force",
	}})
	if err != nil {
		return err
	}
	return r.tell(ctx, &Report{})
}

// ReadRecords reads all records of a ledger's tree, by certificate.
func ReadRecords(tree fs.FS) (map[string]*Record, error) { return readRecords(tree) }

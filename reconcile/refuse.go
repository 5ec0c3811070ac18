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

// ReasonTaken is the reason of a revision that is in force after one was
// refused or held back.
const ReasonTaken Reason = "revision_taken"

// Taken tells the ledger that a revision is in force, where the last that it was
// told of a revision is that it is not.
func (r *Reconciler) Taken(ctx context.Context, rev Revision) error {
	tree, _, err := r.snapshot(ctx)
	if err != nil {
		return err
	}
	now := r.opts.Now().UTC()
	var last Event
	err = backward(tree, func(e Event) bool {
		if e.Operation == KindConfig && e.Reason != ReasonAccepted {
			last = e
		}
		return last.ID == "" && e.Time.After(now.Add(-historySpan))
	})
	if err != nil {
		return err
	}
	waiting, err := r.scribe.entries()
	if err != nil {
		return err
	}
	for _, w := range waiting {
		if w.Event.Operation == KindConfig {
			last = w.Event
		}
	}
	if last.ID == "" || last.Status == Success {
		return nil
	}
	err = r.scribe.note(entry{Event: Event{
		Schema: EventSchema, ID: eventID("taken", rev.Commit, last.ID), Time: now.Truncate(time.Millisecond),
		Operation: KindConfig, Status: Success, Reason: ReasonTaken, Actor: firstOf(rev.Author, "unknown"), Cause: "spec",
		Revision: rev.Commit, OldRevision: last.Revision, Detail: "the revision is in force; the one before it was not (" + string(last.Reason) + ")",
	}})
	if err != nil {
		return err
	}
	return r.tell(ctx, &Report{})
}

// ReadRecords reads all records of a ledger's tree, by certificate.
func ReadRecords(tree fs.FS) (map[string]*Record, error) { return readRecords(tree) }

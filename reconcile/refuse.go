package reconcile

import (
	"context"
	"time"
)

// Refuse tells the ledger that a revision was refused because of its mistakes.
// The same revision is told once, however often it is met.
func (r *Recorder) Refuse(ctx context.Context, rev Revision, mistakes string) error {
	err := r.scribe.note(entry{Event: Event{
		Schema: EventSchema, ID: eventID("refused", rev.Commit, mistakes), Time: r.now().UTC().Truncate(time.Millisecond),
		Operation: KindConfig, Status: Failed, Reason: ReasonRefused, Class: ClassConfig,
		Actor: firstOf(rev.Author, "unknown"), Cause: "spec", Revision: rev.Commit, Message: mistakes,
		Detail: "the revision has mistakes and was refused whole; the last good one stays in force",
	}})
	if err != nil {
		return err
	}
	_, err = r.publish(ctx)
	return err
}

// Taken tells the ledger that a revision is in force, where the last that it was
// told of a revision is that it is not.
func (r *Recorder) Taken(ctx context.Context, rev Revision) error {
	tree, _, err := r.snapshot(ctx)
	if err != nil {
		return err
	}
	now := r.now().UTC()
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
	_, err = r.publish(ctx)
	return err
}

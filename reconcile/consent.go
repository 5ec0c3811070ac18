package reconcile

import (
	"context"
	"fmt"
	"io/fs"
	"regexp"
	"time"
)

// Withheld is a revision that was fetched and is not taken.
type Withheld struct {
	Revision
	Reason  Reason
	Old     Taken // the revision that was in force, where that is the reason
	Message string
}

// Withhold tells the ledger of it. The same revision is told once, however
// often it is met, unless something else was in force in between.
func (r *Recorder) Withhold(ctx context.Context, w Withheld) error {
	err := r.scribe.note(entry{Event: Event{
		Schema: EventSchema, ID: eventID("withheld", string(w.Reason), w.Commit, w.Old.Commit, w.Old.At.UTC().Format(time.RFC3339Nano)), Time: r.now().UTC().Truncate(time.Millisecond),
		Operation: KindConfig, Status: Denied, Severity: SeverityPage, Reason: w.Reason, Class: ClassConfig,
		Actor: firstOf(w.Author, "unknown"), Cause: "spec", Revision: w.Commit, OldRevision: w.Old.Commit, Message: w.Message,
		Detail: "the revision is held back; the last good one stays in force",
	}})
	if err != nil {
		return err
	}
	_, err = r.publish(ctx)
	return err
}

// Accept writes a person's consent to a revision into the ledger, of which a
// run that holds it back learns with its next pull. It goes straight there, as
// Retry does.
func (r *Recorder) Accept(ctx context.Context, rev Revision, actor string) error {
	now := r.now().UTC()
	e := Event{
		Schema: EventSchema, ID: eventID("accepted", rev.Commit, actor, now.Format(time.RFC3339Nano)), Time: now.Truncate(time.Millisecond),
		Operation: KindConfig, Status: Success, Reason: ReasonAccepted, Actor: firstOf(actor, "unknown"), Cause: "command", Revision: rev.Commit,
		Detail: "a person looked at the revision of " + firstOf(rev.Author, "an unknown author") + " and accepted it",
	}
	told := []entry{{Event: e}}
	_, err := r.scribe.ledger.Commit(ctx, commitMessage(told), func(tree fs.FS) (map[string][]byte, error) {
		last, err := LastTaken(tree)
		// Consent comes after what was in force, whatever the clock of this machine says.
		told[0].Event.OldRevision, told[0].Event.Time = last.Commit, later(e.Time, last.At.Add(time.Millisecond))
		if err != nil {
			return nil, err
		}
		return r.scribe.edit(tree, told)
	})
	if err != nil {
		return fmt.Errorf("writing the ledger: %w; nothing was recorded, repeat the command", err)
	}
	return nil
}

// Taken is a revision that was in force, and when.
type Taken struct {
	Commit string
	At     time.Time
}

var fullHash = regexp.MustCompile(`^[0-9a-f]{40}$`)

// LastTaken is the newest revision that the ledger tells was in force: one that
// was reconciled, or accepted by a person. The zero Taken is none.
func LastTaken(tree fs.FS) (taken Taken, err error) {
	err = backward(tree, func(e Event) bool {
		if !fullHash.MatchString(e.Revision) || e.Operation == KindConfig && e.Status != Success {
			return true
		}
		taken = Taken{e.Revision, e.Time}
		return false
	})
	return taken, err
}

// AcceptedSince tells whether a person accepted just this commit after a
// moment: consent to what was in force before, and was left since, is used up.
func AcceptedSince(tree fs.FS, commit string, since time.Time) (accepted bool, err error) {
	err = backward(tree, func(e Event) bool {
		accepted = e.Operation == KindConfig && e.Reason == ReasonAccepted && e.Status == Success && e.Revision == commit && e.Time.After(since)
		// A run tells what it did some time after it did it.
		return !accepted && !e.Time.Before(since.Add(-day))
	})
	return accepted, err
}

package recorder

import (
	"context"
	"fmt"
	"io/fs"
	"time"

	"certroll/reconcile/archive"
	"certroll/reconcile/ledger"
	"certroll/reconcile/statuspage"
	"certroll/reconcile/times"
	"certroll/spec/text"
)

// Withheld is a revision that certroll fetched and does not put into force.
type Withheld struct {
	ledger.Revision
	Reason  ledger.Reason
	Old     archive.Taken // revision in force before, if it is the reason
	Message string
}

// Withhold records a withheld revision. It records a revision once, unless another
// revision was in force in between.
func (r *Recorder) Withhold(ctx context.Context, w Withheld) error {
	err := r.Writer.Note(ledger.Entry{Event: ledger.Event{
		Schema: ledger.EventSchema, ID: ledger.EventID("withheld", string(w.Reason), w.Commit, w.Old.Commit, w.Old.At.UTC().Format(time.RFC3339Nano)), Time: r.Now().UTC().Truncate(time.Millisecond),
		Operation: ledger.KindConfig, Status: ledger.Denied, Severity: ledger.SeverityPage, Reason: w.Reason, Class: ledger.ClassConfig,
		Actor: text.FirstOf(w.Author, "unknown"), Cause: "spec", Revision: w.Commit, OldRevision: w.Old.Commit, Message: w.Message,
		Detail: "the revision is held back; the last good one stays in force",
	}})
	if err != nil {
		return err
	}
	_, err = r.Publish(ctx)
	return err
}

// Accept writes a person's consent to a revision into the ledger, where a run that
// withholds the revision finds it at its next pull. It bypasses the journal, as Retry
// does.
func (r *Recorder) Accept(ctx context.Context, rev ledger.Revision, actor string) error {
	now := r.Now().UTC()
	e := ledger.Event{
		Schema: ledger.EventSchema, ID: ledger.EventID("accepted", rev.Commit, actor, now.Format(time.RFC3339Nano)), Time: now.Truncate(time.Millisecond),
		Operation: ledger.KindConfig, Status: ledger.Success, Reason: ledger.ReasonAccepted, Actor: text.FirstOf(actor, "unknown"), Cause: "command", Revision: rev.Commit,
		Detail: "a person reviewed the revision of " + text.FirstOf(rev.Author, "an unknown author") + " and accepted it",
	}
	entries := []ledger.Entry{{Event: e}}
	_, err := r.Writer.Ledger.Commit(ctx, statuspage.CommitMessage(entries), func(tree fs.FS) (map[string][]byte, error) {
		last, err := archive.LastTaken(tree)
		// The consent sorts after the revision in force, even if this machine's clock is
		// slow.
		entries[0].Event.OldRevision, entries[0].Event.Time = last.Commit, times.Later(e.Time, last.At.Add(time.Millisecond))
		if err != nil {
			return nil, err
		}
		return r.Writer.Edit(tree, entries)
	})
	if err != nil {
		return fmt.Errorf("writing the ledger: %w; nothing was recorded, repeat the command", err)
	}
	return nil
}

// Refuse records that a revision was rejected because of its errors. It records a
// revision and its errors once.
func (r *Recorder) Refuse(ctx context.Context, rev ledger.Revision, mistakes string) error {
	err := r.Writer.Note(ledger.Entry{Event: ledger.Event{
		Schema: ledger.EventSchema, ID: ledger.EventID("refused", rev.Commit, mistakes), Time: r.Now().UTC().Truncate(time.Millisecond),
		Operation: ledger.KindConfig, Status: ledger.Failed, Reason: ledger.ReasonRefused, Class: ledger.ClassConfig,
		Actor: text.FirstOf(rev.Author, "unknown"), Cause: "spec", Revision: rev.Commit, Message: mistakes,
		Detail: "the revision has mistakes and was refused whole; the last good one stays in force",
	}})
	if err != nil {
		return err
	}
	_, err = r.Publish(ctx)
	return err
}

// Taken records that a revision is in force, if the ledger's last event about revisions
// says that one is not.
func (r *Recorder) Taken(ctx context.Context, rev ledger.Revision) error {
	tree, _, err := r.Snapshot(ctx)
	if err != nil {
		return err
	}
	now := r.Now().UTC()
	var last ledger.Event
	// The search goes back as far as the history that plans use.
	err = archive.Since(tree, now.Add(-archive.HistorySpan), func(e ledger.Event) bool {
		if e.Operation == ledger.KindConfig && e.Reason != ledger.ReasonAccepted {
			last = e
		}
		return last.ID == ""
	})
	if err != nil {
		return err
	}
	// Unpublished entries are newer than the ledger's.
	waiting, err := r.Writer.entries()
	if err != nil {
		return err
	}
	for _, w := range waiting {
		if w.Event.Operation == ledger.KindConfig {
			last = w.Event
		}
	}
	if last.ID == "" || last.Status == ledger.Success {
		return nil
	}
	err = r.Writer.Note(ledger.Entry{Event: ledger.Event{
		Schema: ledger.EventSchema, ID: ledger.EventID("taken", rev.Commit, last.ID), Time: now.Truncate(time.Millisecond),
		Operation: ledger.KindConfig, Status: ledger.Success, Reason: ledger.ReasonTaken, Actor: text.FirstOf(rev.Author, "unknown"), Cause: "spec",
		Revision: rev.Commit, OldRevision: last.Revision, Detail: "the revision is in force; the one before it was not (" + string(last.Reason) + ")",
	}})
	if err != nil {
		return err
	}
	_, err = r.Publish(ctx)
	return err
}

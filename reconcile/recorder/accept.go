package recorder

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"certroll/reconcile/archive"
	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/reconcile/statuspage"
	"certroll/reconcile/times"
	"certroll/spec/text"
)

// NoteMass records the changes that the brake holds: once per day the event, with the set
// of changes itself.
func (r *Recorder) NoteMass(actions []plan.Action, rev ledger.Revision, now time.Time) error {
	events := plan.MassEvents(actions, rev, now)
	if len(events) == 0 {
		return r.noteMassOver(now)
	}
	if r.isHeld(events[0].ID) {
		return r.NoteHeld(events) // refreshes the time of the last hold
	}
	set := *plan.MassHold(actions)
	set.Revision = rev.Commit
	if err := r.Writer.Note(ledger.Entry{Event: events[0], Held: &set}); err != nil {
		return err
	}
	r.setHeld(events[0].ID)
	return nil
}

// noteMassOver records that the brake holds nothing any more although no person accepted
// the changes: the revision was reverted, or Vault was restored.
func (r *Recorder) noteMassOver(now time.Time) error {
	tree, _ := r.Writer.Seen()
	if tree == nil {
		return nil
	}
	set, err := archive.ReadHeld(tree)
	if err != nil || set == nil || r.isHeld(set.OverID()) {
		return err
	}
	e := ledger.HeldEvent(now, plan.SubjectOfSet(set), ledger.ReasonMass, "it is no more held, and nothing of it was done: what would have changed is as it was, or is less than waits for a person", "", "")
	e.ID, e.Status = set.OverID(), ledger.Success
	e.Concerns(set.Names())
	if err := r.Writer.Note(ledger.Entry{Event: e, Held: &ledger.HeldSet{}}); err != nil {
		return err
	}
	r.heldMu.Lock()
	defer r.heldMu.Unlock()
	delete(r.Held, plan.MassEvents([]plan.Action{{Mass: set}}, ledger.Revision{}, now)[0].ID) // if the brake holds the set again, it gets a new event
	r.Held[e.ID] = now
	return nil
}

// setHeld records that the event with this ID was written now.
func (r *Recorder) setHeld(id string) {
	r.heldMu.Lock()
	defer r.heldMu.Unlock()
	r.Held[id] = r.Now()
}

// AcceptHeld writes a person's consent to held changes into the ledger: to the set with
// this ID in the ledger, or else to known, the set of the plan that the person saw. It
// bypasses the journal, as Accept does.
func (r *Recorder) AcceptHeld(ctx context.Context, id string, known *ledger.HeldSet, actor, how string) (accepted *ledger.HeldSet, err error) {
	tree, _, _, err := r.Writer.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	// A first check, so that a wrong ID fails without a commit. The edit repeats it on
	// the tree that it changes.
	if _, _, err := archive.FindHeld(tree, id, known); err != nil {
		return nil, err
	}
	now := r.Now().UTC()
	entries := []ledger.Entry{{Event: ledger.Event{
		Schema: ledger.EventSchema, ID: ledger.EventID("accepted", id, actor, now.Format(time.RFC3339Nano)), Time: now.Truncate(time.Millisecond),
		Operation: ledger.KindConfig, Status: ledger.Success, Reason: ledger.ReasonAccepted, Actor: text.FirstOf(actor, "unknown"), Cause: "command",
	}}}
	_, err = r.Writer.Ledger.Commit(ctx, statuspage.CommitMessage(entries), func(tree fs.FS) (map[string][]byte, error) {
		set, sets, err := archive.FindHeld(tree, id, known)
		if err != nil {
			return nil, err
		}
		accepted = set
		set.AcceptedAt, set.AcceptedBy = times.Optional(now.Truncate(time.Second)), text.FirstOf(actor, "unknown")
		e := &entries[0].Event
		e.Subject, e.Detail = string(plan.SubjectOfSet(set)), "a person accepted "+how+": "+set.Summary()
		// The edit may run again on a newer tree, which may have another set.
		e.Certificate, e.Certificates = "", nil
		e.Concerns(set.Names())
		files, err := r.Writer.Edit(tree, entries)
		if err != nil {
			return nil, err
		}
		files[ledger.HeldFile], err = archive.MarshalHeld(archive.WithHeld(sets, *set, now))
		return files, err
	})
	if err != nil {
		return nil, fmt.Errorf("writing the ledger: %w; nothing was recorded, repeat the command", err)
	}
	return accepted, nil
}

// AcceptLost writes a person's consent to the loss of a ledger commit into the ledger. It
// bypasses the journal, as Accept does. seen reports that this machine remembers the
// commit; otherwise the ledger itself has to report the loss.
func (r *Recorder) AcceptLost(ctx context.Context, commit string, seen bool, actor string) error {
	now := r.Now().UTC()
	e := ledger.Event{
		Schema: ledger.EventSchema, ID: ledger.EventID("accepted", archive.LedgerSubject, commit), Time: now.Truncate(time.Millisecond),
		Operation: ledger.KindNote, Status: ledger.Success, Reason: ledger.ReasonAccepted, Subject: archive.LedgerSubject, Actor: text.FirstOf(actor, "unknown"), Cause: "command", OldRevision: commit,
		Detail: "a person accepted that the ledger no longer goes on from commit " + commit,
	}
	entries := []ledger.Entry{{Event: e}}
	_, err := r.Writer.Ledger.Commit(ctx, statuspage.CommitMessage(entries), func(tree fs.FS) (map[string][]byte, error) {
		events, err := archive.Query{}.Events(tree)
		if err != nil {
			return nil, err
		}
		lost := archive.LostHeads(events)
		if len(archive.WithoutHead(lost, commit)) == len(lost) && !seen {
			return nil, archive.ErrNotLost
		}
		// The consent has to sort after the report of the loss, even if this clock is
		// slow.
		if n := len(events); n > 0 {
			entries[0].Event.Time = times.Later(e.Time, events[n-1].Time.Add(time.Millisecond))
		}
		return r.Writer.Edit(tree, entries)
	})
	if errors.Is(err, archive.ErrNotLost) {
		return fmt.Errorf("accepting the loss of %s: %w; certroll audit verify names those that are", commit, archive.ErrNotLost)
	}
	if err != nil {
		return fmt.Errorf("writing the ledger: %w; nothing was recorded, repeat the command", err)
	}
	return nil
}

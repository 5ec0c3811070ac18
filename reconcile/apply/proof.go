package apply

import (
	"context"
	"fmt"
	"io/fs"
	"time"

	"certroll/reconcile/failure"
	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/reconcile/recorder"
	"certroll/spec/text"
)

// proveLedger makes sure, before the first order, that what comes of it can be
// recorded: a read-only key or a protected branch shows only when something is
// pushed. A ledger that is empty gets its first commit; one that this machine has
// never written, or whose journal the disk does not take, an event. What no push
// could tell would be ordered again and again, with no back-off.
func (r *Reconciler) proveLedger(ctx context.Context, todo []plan.Action, rev ledger.Revision) error {
	orders := 0
	for i := range todo {
		if todo[i].Kind.Orders() {
			orders++
		}
	}
	if orders == 0 {
		return nil
	}
	_, head := r.Writer.Seen()
	disk := r.Writer.Unwritten.Probe(r.Writer.Journal)
	_ = r.Asks.Load() // what cannot be read is not known, and is asked for once more
	known := r.Asks.Store == nil || !r.Asks.At(recorder.LedgerMoment).IsZero()
	var err error
	switch {
	case disk == nil && r.Writer.HasTold():
		return nil
	case head == "" && !r.Checkpoint.IsAstray(): // one that was deleted was written before
		_, err = r.Writer.Ledger.Commit(ctx, "begin the ledger", func(tree fs.FS) (map[string][]byte, error) { return r.Writer.Edit(tree, nil) })
	case known && disk == nil:
		return nil
	default:
		err = r.noteAttempt(ctx, orders, rev)
	}
	if err != nil {
		return &failure.Error{Code: ledger.ClassGit, Err: fmt.Errorf("nothing was ordered, since what came of it could not be recorded: writing the ledger: %w", err)}
	}
	r.Asks.Set(recorder.LedgerMoment, r.Now())
	_ = r.Asks.Save() // a disk that does not take it costs one more event
	return nil
}

// noteAttempt pushes an event that orders are about to be made.
func (r *Reconciler) noteAttempt(ctx context.Context, orders int, rev ledger.Revision) error {
	now := r.Now().UTC()
	err := r.Writer.Note(ledger.Entry{Event: ledger.Event{
		Schema: ledger.EventSchema, ID: ledger.EventID("attempt", now.Format(time.RFC3339Nano)), Time: now.Truncate(time.Millisecond),
		Operation: ledger.KindNote, Status: ledger.Success, Reason: ledger.ReasonAttempt, Actor: text.FirstOf(r.Opts.Actor, "schedule"), Cause: "schedule", Revision: rev.Commit,
		Detail: text.Counted(orders, "certificate") + " to be ordered; recorded first, to prove that this machine can write the ledger",
	}})
	if err == nil {
		_, err = r.Publish(ctx)
	}
	return err
}

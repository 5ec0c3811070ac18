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

// proveLedger checks before the first order that the ledger can be written. A read-only
// key or a protected branch shows only at a push, and without the ledger the back-off
// would be lost: certroll would order again and again. An empty ledger gets its first
// commit. A ledger that this machine has never written, or whose journal is on a disk
// that rejects writes, gets an event.
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
	// Writing costs a commit per run, so that it is done only without other evidence.
	_, head := r.Writer.Seen()
	disk := r.Writer.Unwritten.Probe(r.Writer.Journal)
	_ = r.Asks.Load() // unreadable counts as unknown, which costs one more event
	known := r.Asks.Store == nil || !r.Asks.At(recorder.LedgerMoment).IsZero()
	var err error
	switch {
	case disk == nil && r.Writer.HasPublished():
		return nil
	case head == "" && !r.Checkpoint.IsAstray(): // a deleted ledger was written before
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
	_ = r.Asks.Save() // if this fails, the next run writes one more event
	return nil
}

// noteAttempt publishes an event that announces the orders.
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

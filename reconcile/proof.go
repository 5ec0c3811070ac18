package reconcile

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"certroll/spec/text"
)

// ledgerMoment is the name under which it is kept that this machine has written the
// ledger.
const ledgerMoment = "ledger written"

// proveLedger makes sure, before the first order, that what comes of it can be
// recorded: a read-only key or a protected branch shows only when something is
// pushed. A ledger that is empty gets its first commit; one that this machine has
// never written, or whose journal the disk does not take, an event. What no push
// could tell would be ordered again and again, with no back-off.
func (r *Reconciler) proveLedger(ctx context.Context, todo []Action, rev Revision) error {
	orders := 0
	for i := range todo {
		if todo[i].Kind.Orders() {
			orders++
		}
	}
	if orders == 0 {
		return nil
	}
	_, head := r.scribe.seen()
	disk := r.scribe.unwritten.probe(r.scribe.journal)
	_ = r.asks.load() // what cannot be read is not known, and is asked for once more
	known := r.asks.store == nil || !r.asks.at(ledgerMoment).IsZero()
	var err error
	switch {
	case disk == nil && r.scribe.hasTold():
		return nil
	case head == "" && !r.mooring.isAstray(): // one that was deleted was written before
		_, err = r.scribe.ledger.Commit(ctx, "begin the ledger", func(tree fs.FS) (map[string][]byte, error) { return r.scribe.edit(tree, nil) })
	case known && disk == nil:
		return nil
	default:
		err = r.noteAttempt(ctx, orders, rev)
	}
	if err != nil {
		return &failure{code: ClassGit, err: fmt.Errorf("nothing was ordered, since what came of it could not be recorded: writing the ledger: %w", err)}
	}
	r.asks.set(ledgerMoment, r.now())
	_ = r.asks.save() // a disk that does not take it costs one more event
	return nil
}

// isAstray tells that the last look found the ledger rewritten or gone.
func (m *mooring) isAstray() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.astray
}

// noteAttempt pushes an event that orders are about to be made.
func (r *Reconciler) noteAttempt(ctx context.Context, orders int, rev Revision) error {
	now := r.now().UTC()
	err := r.scribe.note(entry{Event: Event{
		Schema: EventSchema, ID: eventID("attempt", now.Format(time.RFC3339Nano)), Time: now.Truncate(time.Millisecond),
		Operation: KindNote, Status: Success, Reason: ReasonAttempt, Actor: firstOf(r.opts.Actor, "schedule"), Cause: "schedule", Revision: rev.Commit,
		Detail: text.Counted(orders, "certificate") + " to be ordered; recorded first, to prove that this machine can write the ledger",
	}})
	if err == nil {
		_, err = r.publish(ctx)
	}
	return err
}

// withoutOrders leaves out what asks the CA.
func withoutOrders(todo []Action) []Action {
	return slices.DeleteFunc(slices.Clone(todo), func(a Action) bool { return a.Kind.Orders() })
}

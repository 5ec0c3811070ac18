package attempt

import (
	"context"
	"errors"
	"fmt"

	"certroll/reconcile/failure"
	"certroll/reconcile/ledger"
	"certroll/reconcile/limiter"
	"certroll/reconcile/plan"
)

// One runs one action to its end and writes its event and record. An interrupted attempt
// and one that lost Vault write no event of their own: the next run resumes them.
func (ap *Applier) One(ctx context.Context, action plan.Action) (Result, limiter.End) {
	a := &Attempt{Applier: ap, Action: action, began: ap.Clock()}
	err := a.do(ctx)
	if err != nil && failure.IsInterrupt(ctx, err) {
		return Result{}, limiter.EndStopped
	}
	if errors.Is(err, errNoTurn) {
		return Result{}, limiter.EndNoTurn
	}
	if err != nil && ap.IsAway(ctx, err) {
		ap.left(err)
		return Result{}, limiter.EndLeft
	}
	event, record, drop := a.conclude(err, ap.Clock().Sub(a.began))
	// The result carries the redacted event, because callers log it.
	entry := ap.Writer.Struck(ledger.Entry{Event: event, Record: record, Drop: drop, Forget: a.forgets})
	noteErr := ap.Writer.Note(entry)
	return Result{Action: action, Event: entry.Event, Err: err, Unrecorded: noteErr}, limiter.EndDone
}

// do runs the action within the deadline of every attempt.
func (a *Attempt) do(ctx context.Context) error {
	if a.Action.Kind.Orders() {
		return a.obtain(ctx)
	}
	err := a.inTime(ctx, a.doWithoutOrder)
	if err == nil && a.ordersAnew {
		return a.obtain(ctx)
	}
	return err
}

// doWithoutOrder dispatches by kind and reason. An action to finish, note or move comes
// before the general cases of its kind: a move, for example, has the kind adopt.
func (a *Attempt) doWithoutOrder(ctx context.Context) error {
	switch {
	case a.Action.Reason == ledger.ReasonUnfinished:
		return a.Unfinished(ctx)
	case a.Action.Reason.Records():
		return a.catchUp(ctx)
	case a.Action.Kind == ledger.KindRevoke:
		return a.revokeEarlier(ctx)
	case a.Action.Kind == ledger.KindRepair:
		return a.repair(ctx)
	case a.moves():
		return a.rename(ctx)
	case a.Action.Kind == ledger.KindAdopt:
		return a.adopt(ctx)
	case a.Action.Kind == ledger.KindStage:
		return a.stage(ctx)
	case a.Action.Kind == ledger.KindRetire:
		return a.retire(ctx)
	}
	return &failure.Error{Code: ledger.ClassInternal, Err: fmt.Errorf("an action of kind %q cannot be applied", a.Action.Kind)}
}

package attempt

import (
	"context"
	"errors"
	"fmt"
	"time"

	"certroll/reconcile/failure"
	"certroll/reconcile/lease"
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
	told := ap.Writer.Struck(ledger.Entry{Event: event, Record: record, Drop: drop, Forget: a.forgets})
	noteErr := ap.Writer.Note(told)
	return Result{Action: action, Event: told.Event, Err: err, Untold: noteErr}, limiter.EndDone
}

// AfterOrder is how long an attempt may take beyond the time for its order. It covers the
// sweep of DNS records and calls that take seconds each.
const AfterOrder = sweepTime + 10*time.Minute

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

// inTime runs a part of the attempt within the time that is left to it, however long the
// CA, the DNS providers and Vault let certroll wait.
func (a *Attempt) inTime(ctx context.Context, part func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, AttemptTime+AfterOrder-a.worked())
	defer cancel()
	// limited learns of the lease's end through a timer, which runs late after the
	// machine was suspended. Fenced asks ctx, which compares the clock, between the
	// steps.
	err := part(lease.Fenced{Context: limited, Over: func() bool { return ctx.Err() != nil }})
	if err == nil || ctx.Err() != nil || limited.Err() == nil {
		return err
	}
	return &failure.Error{Code: ledger.ClassInternal, Err: fmt.Errorf("the attempt at %s (%s) was not done after %s and was stopped: %w",
		a.Action.Certificate, a.Action.Kind, AttemptTime+AfterOrder, err)}
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

package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"certroll/spec"
)

// applier is one Apply: a plan's spec and revision.
type applier struct {
	*Reconciler
	desired  *spec.Spec
	revision Revision
	gate     *gate
}

// end is how one action came to its end.
type end int

const (
	endDone    end = iota // it has a result
	endStopped            // the run was stopped: nothing is noted, the next run goes on
	endHeld               // it was not taken up, as others fail
)

// admitted runs one action where the gate lets it in.
func (ap *applier) admitted(ctx context.Context, action Action) (Result, end) {
	if ctx.Err() != nil {
		return Result{}, endStopped
	}
	if !action.Kind.Orders() {
		return ap.one(ctx, action)
	}
	if in := ap.gate.enter(ctx, &action); in != endDone {
		return Result{}, in
	}
	entered := subjectsOf(&action)
	res, e := ap.one(ctx, action)
	ap.gate.leave(entered, res.Event)
	return res, e
}

// one runs one action to its end and notes it.
func (ap *applier) one(ctx context.Context, action Action) (Result, end) {
	a := &attempt{applier: ap, action: action}
	start := ap.now()
	err := a.do(ctx)
	if err != nil && isInterrupt(ctx, err) {
		return Result{}, endStopped
	}
	event, record, drop := a.conclude(err, ap.now().Sub(start))
	if noteErr := ap.scribe.note(entry{Event: event, Record: record, Drop: drop}); noteErr != nil {
		err = errors.Join(err, noteErr)
	}
	return Result{Action: action, Event: event, Err: err}, endDone
}

func (a *attempt) do(ctx context.Context) error {
	switch {
	case a.action.Kind.Orders():
		a.credentials = a.observer.credentialsOf(ctx, a.desired, a.action.Spec)
		return a.runSteps(ctx, orderSteps)
	case a.action.Reason == ReasonUnfinished:
		return a.unfinished(ctx)
	case a.action.Reason.records():
		return a.catchUp(ctx)
	case a.action.Kind == KindRevoke:
		return a.revokeEarlier(ctx)
	case a.action.Kind == KindRepair:
		return a.repair(ctx)
	case a.action.Kind == KindAdopt:
		return a.adopt(ctx)
	case a.action.Kind == KindStage:
		return a.stage(ctx)
	case a.action.Kind == KindRetire:
		return a.retire(ctx)
	}
	return &failure{class: ClassInternal, err: fmt.Errorf("an action of kind %q cannot be applied", a.action.Kind)}
}

func (ap *applier) now() time.Time { return ap.opts.Now() }

// accounts are the DNS accounts in the order they are tried: as the spec lists
// them, those known not to work last.
func (a *attempt) accounts() []*spec.DNSAccount {
	var good, bad []*spec.DNSAccount
	for _, name := range a.action.Spec.DNS {
		account := a.desired.DNS[name]
		if slices.Contains(a.action.Avoid, name) {
			bad = append(bad, account)
		} else {
			good = append(good, account)
		}
	}
	return append(good, bad...)
}

func (ap *applier) resolve(ctx context.Context, v spec.Value) (string, error) {
	return ap.opts.Resolve(ctx, v)
}

func (a *attempt) report(step, detail string) { a.opts.Progress(a.action.Certificate, step, detail) }

// actor names who is behind an action: the author of the commit that asked for
// it, the time that came, or whoever changed Vault.
func (ap *applier) actor(reason Reason) (actor, cause string) {
	switch reason {
	case ReasonThreshold, ReasonExpired, ReasonUnfinished, ReasonWindow, ReasonRevoking, ReasonKeyAge, ReasonOverdue:
		return firstOf(ap.opts.Actor, "schedule"), "schedule"
	case ReasonDrifted, ReasonDeleted, ReasonForeign, ReasonNextKeyLost:
		return firstOf(ap.opts.Actor, "schedule"), "drift"
	default:
		return firstOf(ap.revision.Author, ap.opts.Actor, "unknown"), "spec"
	}
}

package reconcile

import (
	"context"
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
	gate     *gatePass
	known    map[string]*Record // as it was when the run began
}

// end is how one action came to its end.
type end int

const (
	endDone     end = iota // it has a result
	endStopped             // the run was stopped: nothing is noted, the next run goes on
	endHeld                // it was not taken up, as others fail
	endWaits               // it was not taken up yet
	endReplaced            // it was not taken up: a newer plan counts
	endLeft                // Vault went away: nothing is noted, the next run goes on
)

// one runs one action to its end and notes it.
func (ap *applier) one(ctx context.Context, action Action) (Result, end) {
	a := &attempt{applier: ap, action: action, began: ap.now()}
	err := a.doInTime(ctx)
	if err != nil && isInterrupt(ctx, err) {
		return Result{}, endStopped
	}
	if err != nil && ap.isAway(ctx, err) {
		ap.left(err)
		return Result{}, endLeft
	}
	event, record, drop := a.conclude(err, ap.now().Sub(a.began))
	told := ap.scribe.struck(entry{Event: event, Record: record, Drop: drop, Forget: a.forgets})
	noteErr := ap.scribe.note(told)
	return Result{Action: action, Event: told.Event, Err: err, Untold: noteErr}, endDone
}

// afterOrder is how long an attempt may take beyond the time that it has for its
// order: what else it does is to sweep, and calls of seconds.
const afterOrder = sweepTime + 10*time.Minute

// doInTime does it within the time that any attempt has, whatever the other sides
// let it wait for.
func (a *attempt) doInTime(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, attemptTime+afterOrder)
	defer cancel()
	// Between its steps it sees the lease end by the clock, as ctx does.
	err := a.do(fenced{limited, func() bool { return ctx.Err() != nil }})
	if err == nil || ctx.Err() != nil || limited.Err() == nil {
		return err
	}
	return &failure{code: ClassInternal, err: fmt.Errorf("the attempt at %s (%s) was not done after %s and was stopped: %w",
		a.action.Certificate, a.action.Kind, attemptTime+afterOrder, err)}
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
	case a.moves():
		return a.rename(ctx)
	case a.action.Kind == KindAdopt:
		return a.adopt(ctx)
	case a.action.Kind == KindStage:
		return a.stage(ctx)
	case a.action.Kind == KindRetire:
		return a.retire(ctx)
	}
	return &failure{code: ClassInternal, err: fmt.Errorf("an action of kind %q cannot be applied", a.action.Kind)}
}

func (ap *applier) now() time.Time { return ap.opts.Now() }

// accounts are the DNS accounts in the order they are tried: as the spec lists
// them, those known not to work last.
func (a *attempt) accounts() []*spec.DNSAccount {
	var good, bad []*spec.DNSAccount
	for _, name := range a.action.Spec.DNS {
		account := a.bounded(a.desired.DNS[name])
		if account != nil && slices.Contains(a.action.Avoid, name) {
			last := *account
			last.Avoided = true
			bad = append(bad, &last)
		} else {
			good = append(good, account)
		}
	}
	return append(good, bad...)
}

func (ap *applier) resolve(ctx context.Context, v spec.Value) (string, error) {
	return ap.opts.Resolve(ctx, v)
}

func (a *attempt) report(step, detail string) {
	switch step {
	case stepRecord:
		a.records.add(detail)
		return
	case stepPublished:
		a.published.add(detail)
		return
	case stepChain:
		a.chainNote = detail
	}
	a.crew.stepped(a.action.Certificate, step, a.opts.Redact.Strike(firstLine(detail)))
	a.opts.Progress(a.action.Certificate, step, detail)
}

// actor names who is behind an action: the author of the commit that asked for
// it, the time that came, or whoever changed Vault.
func (ap *applier) actor(reason Reason) (actor, cause string) {
	switch reason {
	case ReasonThreshold, ReasonExpired, ReasonUnfinished, ReasonWindow, ReasonRevoking, ReasonKeyAge, ReasonOverdue, ReasonRevoked:
		return firstOf(ap.opts.Actor, "schedule"), "schedule"
	case ReasonDrifted, ReasonLeftAlone, ReasonDeleted, ReasonForeign, ReasonNextKeyLost:
		return firstOf(ap.opts.Actor, "schedule"), "drift"
	default:
		return firstOf(ap.revision.Author, ap.opts.Actor, "unknown"), "spec"
	}
}

package apply

import (
	"context"
	"fmt"
	"slices"
	"time"

	"certroll/reconcile/failure"
	"certroll/reconcile/lease"
	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/spec"
	"certroll/spec/text"
)

// Applier is one Apply: a plan's spec and revision.
type Applier struct {
	*Means
	Desired  *spec.Spec
	revision ledger.Revision
	Gate     *LimiterPass
	known    map[string]*ledger.Record // as it was when the run began
}

// End is how one action came to its end.
type End int

const (
	EndDone     End = iota // it has a result
	EndStopped             // the run was stopped: nothing is noted, the next run goes on
	EndHeld                // it was not taken up, as others fail
	EndWaits               // it was not taken up yet
	endReplaced            // it was not taken up: a newer plan counts
	endLeft                // Vault went away: nothing is noted, the next run goes on
)

// One runs one action to its end and notes it.
func (ap *Applier) One(ctx context.Context, action plan.Action) (Result, End) {
	a := &Attempt{Applier: ap, Action: action, began: ap.now()}
	err := a.doInTime(ctx)
	if err != nil && failure.IsInterrupt(ctx, err) {
		return Result{}, EndStopped
	}
	if err != nil && ap.IsAway(ctx, err) {
		ap.left(err)
		return Result{}, endLeft
	}
	event, record, drop := a.conclude(err, ap.now().Sub(a.began))
	told := ap.Writer.Struck(ledger.Entry{Event: event, Record: record, Drop: drop, Forget: a.forgets})
	noteErr := ap.Writer.Note(told)
	return Result{Action: action, Event: told.Event, Err: err, Untold: noteErr}, EndDone
}

// AfterOrder is how long an attempt may take beyond the time that it has for its
// order: what else it does is to sweep, and calls of seconds.
const AfterOrder = sweepTime + 10*time.Minute

// doInTime does it within the time that any attempt has, whatever the other sides
// let it wait for.
func (a *Attempt) doInTime(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, AttemptTime+AfterOrder)
	defer cancel()
	// Between its steps it sees the lease end by the clock, as ctx does.
	err := a.do(lease.Fenced{Context: limited, Over: func() bool { return ctx.Err() != nil }})
	if err == nil || ctx.Err() != nil || limited.Err() == nil {
		return err
	}
	return &failure.Error{Code: ledger.ClassInternal, Err: fmt.Errorf("the attempt at %s (%s) was not done after %s and was stopped: %w",
		a.Action.Certificate, a.Action.Kind, AttemptTime+AfterOrder, err)}
}

func (a *Attempt) do(ctx context.Context) error {
	switch {
	case a.Action.Kind.Orders():
		a.credentials = a.Observer.CredentialsOf(ctx, a.Desired, a.Action.Spec)
		return a.runSteps(ctx, orderSteps)
	case a.Action.Reason == ledger.ReasonUnfinished:
		return a.unfinished(ctx)
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

func (ap *Applier) now() time.Time { return ap.Opts.Now() }

// accounts are the DNS accounts in the order they are tried: as the spec lists
// them, those known not to work last.
func (a *Attempt) accounts() []*spec.DNSAccount {
	var good, bad []*spec.DNSAccount
	for _, name := range a.Action.Spec.DNS {
		account := a.Bounded(a.Desired.DNS[name])
		if account != nil && slices.Contains(a.Action.Avoid, name) {
			last := *account
			last.Avoided = true
			bad = append(bad, &last)
		} else {
			good = append(good, account)
		}
	}
	return append(good, bad...)
}

func (ap *Applier) resolve(ctx context.Context, v spec.Value) (string, error) {
	return ap.Opts.Resolve(ctx, v)
}

func (a *Attempt) Report(step, detail string) {
	switch step {
	case StepRecord:
		a.records.add(detail)
		return
	case StepPublished:
		a.published.add(detail)
		return
	case StepChain:
		a.chainNote = detail
	}
	a.colleagues.stepped(a.Action.Certificate, step, a.Opts.Redact.Strike(text.FirstLine(detail)))
	a.Opts.Progress(a.Action.Certificate, step, detail)
}

// actor names who is behind an action: the author of the commit that asked for
// it, the time that came, or whoever changed Vault.
func (ap *Applier) actor(reason ledger.Reason) (actor, cause string) {
	switch reason {
	case ledger.ReasonThreshold, ledger.ReasonExpired, ledger.ReasonUnfinished, ledger.ReasonWindow, ledger.ReasonRevoking, ledger.ReasonKeyAge, ledger.ReasonOverdue, ledger.ReasonRevoked:
		return text.FirstOf(ap.Opts.Actor, "schedule"), "schedule"
	case ledger.ReasonDrifted, ledger.ReasonLeftAlone, ledger.ReasonDeleted, ledger.ReasonForeign, ledger.ReasonNextKeyLost:
		return text.FirstOf(ap.Opts.Actor, "schedule"), "drift"
	default:
		return text.FirstOf(ap.revision.Author, ap.Opts.Actor, "unknown"), "spec"
	}
}

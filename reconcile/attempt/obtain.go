package attempt

import (
	"context"
	"errors"
	"fmt"
	"time"

	"certroll/reconcile/failure"
	"certroll/reconcile/lease"
	"certroll/reconcile/ledger"
	"certroll/reconcile/pending"
)

// AfterOrder is how long an attempt may take beyond the time for its order. It covers the
// sweep of DNS records and calls that take seconds each.
const AfterOrder = sweepTime + 10*time.Minute

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

// obtain makes the certificate and writes it. ctx is the run's, without the deadline of
// the attempt: the wait for the turn has its own end, and takes none of the attempt's time.
func (a *Attempt) obtain(ctx context.Context) error {
	if err := a.inTime(ctx, func(ctx context.Context) error {
		if a.Action.Kind.Orders() { // else it is a repair, whose order is decided by what it found
			a.credentials = a.Observer.CredentialsOf(ctx, a.Desired, a.Action.Spec)
		}
		return a.runSteps(ctx, firstSteps)
	}); err != nil {
		return err
	}
	done, err := a.awaitTurn(ctx)
	if err == nil {
		err = a.inTime(ctx, func(ctx context.Context) error {
			err := a.runSteps(ctx, orderSteps)
			done()
			if err != nil {
				return err
			}
			return a.runSteps(ctx, resumeSteps)
		})
	}
	if errors.Is(err, errNoTurn) {
		return a.withoutTurn(ctx)
	}
	return err
}

// withoutTurn ends an attempt whose turn did not come. It counts in the pending secret: an
// attempt that never gets its turn must not start again and again unnoticed.
func (a *Attempt) withoutTurn(ctx context.Context) error {
	d := a.Pending
	a.Report("order", "left to the next run after "+AttemptTime.String()+": "+errNoTurn.Error())
	d.Tries-- // the run is no crash
	d.Turnless++
	if err := a.PendingSecrets.Store(ctx, a.Action.Certificate, d); err != nil {
		return err
	}
	if d.Turnless < turnlessEnds {
		return errNoTurn
	}
	return &failure.Error{Code: ledger.ClassInternal, Err: fmt.Errorf(
		"making the certificate of %q: its turn did not come within %s in each of the last %d attempts (%s). See in certroll status what the other certificates with the same names or the same challenge name wait for, or give %q a challenge name of its own; certroll retries later",
		a.Action.Certificate, AttemptTime, turnlessEnds, a.turns.waitedFor(), a.Action.Certificate)}
}

// awaitTurn waits for the turn of the attempt's order. A pending secret with its chain
// needs no order, and so no turn.
func (a *Attempt) awaitTurn(ctx context.Context) (done func(), err error) {
	if pending.PhaseOf(a.Pending) >= pending.PhaseChained {
		return func() {}, nil
	}
	before := a.Clock()
	done, err = a.orderTurns.AwaitTurn(ctx, a.turnKey(), func() {
		const detail = "waiting for another certificate with the same names, account and profile"
		a.turns.noteWait(detail)
		a.Report("order", detail)
	})
	a.waited = a.Clock().Sub(before)
	return done, err
}

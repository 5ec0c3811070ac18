package attempt

import (
	"context"
	"fmt"
	"time"

	"certroll/reconcile/failure"
	"certroll/reconcile/ledger"
	"certroll/reconcile/times"
)

// afterEvent returns a count of silent ends after an event. Once the count has reached its
// limit, one more end is the next failure.
func afterEvent(n, limit int) int {
	if n >= limit {
		return limit - 1
	}
	return 0
}

// silentTries is how many runs in a row may end without an event while they work on one
// certificate. The next run counts that as a failure: an attempt that crashes certroll
// each time must not send the CA an order at each start.
const silentTries = 3

// turnlessEnds is how many attempts in a row may end before their turn came, without an
// event. The last of them is a failure, and so is each further one.
const turnlessEnds = 3

// countCrash increments the count of runs in the pending secret. It fails if too many
// runs in a row ended without an event.
func (a *Attempt) countCrash(ctx context.Context) error {
	d, now := a.Pending, a.Clock().UTC().Truncate(time.Second)
	if r := a.Action.Record; r != nil && r.LastFailure != nil && !r.LastFailure.At.Before(d.TriedAt) {
		// The last run ended with an event. After a series of crashes or of turns that did
		// not come, one more is the next failure; after any other failure the counts start
		// at zero.
		d.Tries, d.Turnless = afterEvent(d.Tries, silentTries), afterEvent(d.Turnless, turnlessEnds)
	}
	// A time far in the future comes from a fast clock, and does not count.
	if d.Tries >= silentTries && d.TriedAt.Before(now.Add(times.Day)) {
		return &failure.Error{Code: ledger.ClassInternal, Err: fmt.Errorf(
			"making the certificate of %q: %d runs in a row, the last one at %s, ended without telling how it went: look for a crash of certroll, for what stops it, or for a Vault that goes away each time; it is tried again later",
			a.Action.Certificate, d.Tries, d.TriedAt.Format(time.RFC3339))}
	}
	d.Tries, d.TriedAt = d.Tries+1, now
	if err := a.PendingSecrets.Store(ctx, a.Action.Certificate, d); err != nil {
		return err
	}
	a.Absence.forget(a.Action.Certificate)
	return nil
}

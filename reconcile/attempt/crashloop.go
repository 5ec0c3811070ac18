package attempt

import (
	"context"
	"fmt"
	"time"

	"certroll/reconcile/failure"
	"certroll/reconcile/ledger"
	"certroll/reconcile/times"
)

// silentTries is how many runs in a row may end without a word while they make
// one certificate, until the next one takes that for a failure: what crashes
// certroll each time must not ask the CA at each start.
const silentTries = 3

// countCrash notes in the pending secret that a run takes it up.
func (a *Attempt) countCrash(ctx context.Context) error {
	d, now := a.Pending, a.Clock().UTC().Truncate(time.Second)
	if r := a.Action.Record; r != nil && r.LastFailure != nil && !r.LastFailure.At.Before(d.TriedAt) {
		// How it went was told. After a run of crashes one more is the next
		// failure, after any other failure the count begins anew.
		crashed := d.Tries >= silentTries
		d.Tries = 0
		if crashed {
			d.Tries = silentTries - 1
		}
	}
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

package reconcile

import (
	"context"
	"fmt"
	"time"
)

// silentTries is how many runs in a row may end without a word while they make
// one certificate, until the next one takes that for a failure: what crashes
// certroll each time must not ask the CA at each start.
const silentTries = 3

// takeUp notes in the pending secret that a run takes it up.
func (a *attempt) takeUp(ctx context.Context) error {
	d, now := a.draft, a.now().UTC().Truncate(time.Second)
	if r := a.action.Record; r != nil && r.LastFailure != nil && !r.LastFailure.At.Before(d.TriedAt) {
		// How it went was told. After a run of crashes one more is the next
		// failure, after any other failure the count begins anew.
		crashed := d.Tries >= silentTries
		d.Tries = 0
		if crashed {
			d.Tries = silentTries - 1
		}
	}
	if d.Tries >= silentTries && d.TriedAt.Before(now.Add(day)) {
		return &failure{code: ClassInternal, err: fmt.Errorf(
			"making the certificate of %q: %d runs in a row, the last one at %s, ended without telling how it went: look for a crash of certroll, for what stops it, or for a Vault that goes away each time; it is tried again later",
			a.action.Certificate, d.Tries, d.TriedAt.Format(time.RFC3339))}
	}
	d.Tries, d.TriedAt = d.Tries+1, now
	if err := a.drafts.store(ctx, a.action.Certificate, d); err != nil {
		return err
	}
	a.absence.forget(a.action.Certificate)
	return nil
}

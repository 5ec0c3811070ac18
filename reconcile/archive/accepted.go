package archive

import (
	"io/fs"
	"regexp"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/times"
)

// Taken is a revision that was in force, and when.
type Taken struct {
	Commit string
	At     time.Time
}

var fullHash = regexp.MustCompile(`^[0-9a-f]{40}$`)

// LastTaken is the newest revision that the ledger tells was in force: one that
// was reconciled, or accepted by a person. The zero Taken is none.
func LastTaken(tree fs.FS) (taken Taken, err error) {
	err = Backward(tree, func(e ledger.Event) bool {
		if !fullHash.MatchString(e.Revision) || e.Operation == ledger.KindConfig && e.Status != ledger.Success {
			return true
		}
		taken = Taken{e.Revision, e.Time}
		return false
	})
	return taken, err
}

// AcceptedSince tells whether a person accepted just this commit after a
// moment: consent to what was in force before, and was left since, is used up.
func AcceptedSince(tree fs.FS, commit string, since time.Time) (accepted bool, err error) {
	err = Backward(tree, func(e ledger.Event) bool {
		accepted = e.Operation == ledger.KindConfig && e.Reason == ledger.ReasonAccepted && e.Status == ledger.Success && e.Revision == commit && e.Time.After(since)
		// A run tells what it did some time after it did it.
		return !accepted && !e.Time.Before(since.Add(-times.Day))
	})
	return accepted, err
}

package archive

import (
	"io/fs"
	"regexp"
	"time"

	"certroll/reconcile/ledger"
)

// Taken is a revision that was in force, and the time.
type Taken struct {
	Commit string
	At     time.Time
}

var fullHash = regexp.MustCompile(`^[0-9a-f]{40}$`)

// IsCommit reports whether a text is the full hash of a commit.
func IsCommit(s string) bool { return fullHash.MatchString(s) }

// LastTaken returns the newest revision in force according to the ledger: the last one that
// certroll reconciled or a person accepted. The zero Taken means none. It skips values that
// are no full commit hash, and events about revisions that certroll rejected or held.
func LastTaken(tree fs.FS) (taken Taken, err error) {
	err = Backward(tree, func(e ledger.Event) bool {
		if !IsCommit(e.Revision) || e.Operation == ledger.KindConfig && e.Status != ledger.Success {
			return true
		}
		taken = Taken{e.Revision, e.Time}
		return false
	})
	return taken, err
}

// AcceptedSince reports whether a person accepted this commit after a time. A consent to a
// revision that was in force earlier, and was then left, does not count again.
func AcceptedSince(tree fs.FS, commit string, since time.Time) (accepted bool, err error) {
	err = Since(tree, since, func(e ledger.Event) bool {
		accepted = e.Operation == ledger.KindConfig && e.Reason == ledger.ReasonAccepted && e.Status == ledger.Success && e.Revision == commit && e.Time.After(since)
		return !accepted
	})
	return accepted, err
}

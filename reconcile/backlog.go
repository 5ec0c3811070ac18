package reconcile

import (
	"time"
)

// Backlog is how far the ledger lags behind what happened.
type Backlog struct {
	Events int       // that the journal holds and the ledger was not told
	Oldest time.Time // of them; zero where there is none
	ToldAt time.Time // when this process told the ledger last; zero: not yet
}

// Backlog says how far the ledger lags behind.
func (r *Recorder) Backlog() (Backlog, error) { return r.scribe.backlog() }

// Open are the problems that examinations found and that are not known to be
// gone, by the tree that was seen last and what the journal holds. Nobody
// changes them.
func (r *Recorder) Open() ([]Problem, error) { return r.scribe.open() }

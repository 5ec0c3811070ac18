package recorder

import (
	"time"

	"certroll/reconcile/ledger"
)

// Backlog is how far the ledger lags behind what happened.
type Backlog struct {
	Events int       // that the journal holds and the ledger was not told
	Oldest time.Time // of them; zero where there is none
	ToldAt time.Time // when this process told the ledger last; zero: not yet
}

// Backlog says how far the ledger lags behind.
func (r *Recorder) Backlog() (Backlog, error) { return r.Writer.backlog() }

// Open are the problems that examinations found and that are not known to be
// gone, by the tree that was seen last and what the journal holds. Nobody
// changes them.
func (r *Recorder) Open() ([]ledger.Problem, error) { return r.Writer.open() }

package recorder

import (
	"time"

	"certroll/reconcile/ledger"
)

// Backlog is the part of the journal that the ledger lacks.
type Backlog struct {
	Events      int       // number of unpublished journal entries
	Oldest      time.Time // time of the oldest one; zero: none
	PublishedAt time.Time // last publish of this process; zero: none yet
}

// Backlog returns the unpublished part of the journal.
func (r *Recorder) Backlog() (Backlog, error) { return r.Writer.backlog() }

// Open returns the problems that examinations found and that are still open, from the
// tree seen last and the journal. Callers must not change them.
func (r *Recorder) Open() ([]ledger.Problem, error) { return r.Writer.open() }

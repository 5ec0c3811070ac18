package reconcile

import (
	"encoding/json"
	"fmt"
	"time"
)

// Backlog is how far the ledger lags behind what happened.
type Backlog struct {
	Events int       // that the journal holds and the ledger was not told
	Oldest time.Time // of them; zero where there is none
	ToldAt time.Time // when this process told the ledger last; zero: not yet
}

// Backlog says how far the ledger lags behind.
func (r *Reconciler) Backlog() (Backlog, error) { return r.scribe.backlog() }

func (s *scribe) backlog() (Backlog, error) {
	lines, err := s.journal.Entries()
	if err != nil {
		return Backlog{}, err
	}
	s.mu.Lock()
	b := Backlog{Events: len(lines), ToldAt: s.toldAt}
	s.mu.Unlock()
	if len(lines) == 0 {
		return b, nil
	}
	var first entry
	if err := json.Unmarshal(lines[0], &first); err != nil {
		return b, fmt.Errorf("reading the journal: %w", err)
	}
	b.Oldest = first.Event.Time
	return b, nil
}

// Open are the problems that examinations found and that are not known to be
// gone, by the tree that was seen last and what the journal holds. Nobody
// changes them.
func (r *Reconciler) Open() ([]Problem, error) { return r.scribe.open() }

func (s *scribe) open() ([]Problem, error) {
	s.mu.Lock()
	tree := s.last
	s.mu.Unlock()
	if tree == nil {
		return nil, nil
	}
	known, err := ReadProblems(tree)
	if err != nil {
		return nil, err
	}
	waiting, err := s.entries()
	if err != nil {
		return nil, err
	}
	return latestProblems(known, waiting).Problems, nil
}

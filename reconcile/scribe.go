package reconcile

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"certroll/spec/redact"
)

// scribe tells the ledger what happened: first into the journal, which
// outlives a crash, then as one commit for all that ended together.
type scribe struct {
	flushing *semaphore.Weighted // of those that push
	ledger   Ledger
	journal  Journal
	now      func() time.Time
	records  *recordCache
	redact   *redact.Redactor // nil: no secret is known

	unwritten unwritten // what the journal's disk did not take

	mu     sync.Mutex // is not held while Git is talked to
	last   fs.FS      // the newest tree that was seen
	head   string     // its commit
	toldAt time.Time  // when all that was to be told had been pushed last
}

// snapshot is the ledger's tree and head. A Git that cannot be reached is no
// reason to let certificates expire: the tree seen last stands in, which is
// not fresh, and what happened since is in the journal.
func (s *scribe) snapshot(ctx context.Context) (tree fs.FS, head string, fresh bool, err error) {
	tree, head, err = s.ledger.Snapshot(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.last, s.head = tree, head
	} else if s.last == nil || ctx.Err() != nil {
		return nil, "", false, err
	}
	return s.last, s.head, err == nil, nil
}

// struck is an entry with no secret that certroll knows in what others said.
// Everything that the ledger is told passes here.
func (s *scribe) struck(e entry) entry {
	e.Event.Message, e.Event.Detail = s.redact.Strike(e.Event.Message), s.redact.Strike(e.Event.Detail)
	e.Event.PassedOver = slices.Clone(e.Event.PassedOver)
	for i := range e.Event.PassedOver {
		e.Event.PassedOver[i].Message = s.redact.Strike(e.Event.PassedOver[i].Message)
	}
	if e.Record == nil {
		return e
	}
	r := *e.Record
	if r.LastFailure != nil {
		f := *r.LastFailure
		f.Message, r.LastFailure = s.redact.Strike(f.Message), &f
	}
	if r.Hold != nil {
		h := *r.Hold
		h.Reason, r.Hold = s.redact.Strike(h.Reason), &h
	}
	e.Record = &r
	return e
}

// mend looks for the last readable versions of records that cannot be read,
// where the ledger can show what it was before. What keeps it from that is one
// more finding: it stops nothing, and the next look tries again.
func (s *scribe) mend(ctx context.Context, tree fs.FS) []Breach {
	past, _ := s.ledger.(Earlier)
	_, err := s.records.read(tree)
	if err == nil {
		_, err = s.records.mend(ctx, past)
	}
	if err == nil {
		return nil
	}
	return lose(nil, recordDir, 0, err.Error())
}

func (s *scribe) entries() ([]entry, error) {
	entries, _, _, err := s.allEntries()
	return entries, err
}

// allEntries are the entries with how many of them the journal has, and the number
// of the last one that it has not.
func (s *scribe) allEntries() (entries []entry, written, last int, err error) {
	lines, written, last, err := s.lines()
	if err != nil {
		return nil, 0, 0, err
	}
	entries = make([]entry, 0, len(lines))
	for _, line := range lines {
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, 0, 0, fmt.Errorf("reading the journal: %w; it was written by another certroll: finish it with that one", err)
		}
		entries = append(entries, e)
	}
	return entries, written, last, nil
}

// overlay lays what waits in the journal over what the ledger says, so that a
// Git that cannot be reached shortens no back-off and widens no limit.
func (s *scribe) overlay(obs *Observed) error {
	entries, err := s.entries()
	if err != nil || len(entries) == 0 {
		return err
	}
	obs.Records, obs.done = maps.Clone(obs.Records), map[string]string{}
	known := make(map[string]bool, len(obs.History))
	for _, e := range obs.History {
		known[e.ID] = true
	}
	for _, e := range entries {
		if e.Drop != "" {
			obs.done[e.Drop] = e.Event.KeyDigest
		}
		if e.Record != nil && newer(e.Record, obs.Records[e.Record.Certificate]) {
			obs.Records[e.Record.Certificate] = e.Record
		}
		if !known[e.Event.ID] {
			obs.History = append(obs.History, e.Event)
		}
	}
	return nil
}

// flush commits and pushes all that the journal holds, then forgets it.
func (s *scribe) flush(ctx context.Context) (commit string, told []entry, err error) {
	if err := s.flushing.Acquire(ctx, 1); err != nil {
		return "", nil, err
	}
	defer s.flushing.Release(1)
	told, written, last, err := s.allEntries()
	if err != nil || len(told) == 0 {
		return "", nil, err
	}
	commit, err = s.ledger.Commit(ctx, commitMessage(told), func(tree fs.FS) (map[string][]byte, error) {
		return s.edit(tree, told)
	})
	if err != nil {
		return "", nil, err
	}
	s.mu.Lock()
	s.toldAt = s.now()
	s.mu.Unlock()
	s.unwritten.told(last)
	return commit, told, s.journal.Ack(written)
}

// edit replays entries on a tree of the ledger. Replaying twice changes
// nothing: an event is known by its id, a record by its time.
func (s *scribe) edit(tree fs.FS, entries []entry) (map[string][]byte, error) {
	records, err := s.records.read(tree)
	if err != nil {
		return nil, err
	}
	events := make([]Event, len(entries))
	changed := map[string]bool{}
	for i, e := range entries {
		events[i] = e.Event
		if e.Record != nil && newer(e.Record, records[e.Record.Certificate]) {
			records[e.Record.Certificate] = e.Record
			changed[e.Record.Certificate] = true
		}
	}
	files, err := appendEvents(tree, events, s.now())
	if err != nil {
		return nil, err
	}
	if files == nil {
		files = map[string][]byte{}
	}
	for _, name := range s.records.restored() {
		changed[name] = true
	}
	for name := range changed {
		if files[recordFile(name)], err = MarshalRecord(records[name]); err != nil {
			return nil, err
		}
	}
	text, problems, err := editProblems(tree, entries)
	if err != nil {
		return nil, err
	}
	if text != nil {
		files[problemsFile] = text
	}
	held, err := editHeld(tree, entries, s.now())
	if err != nil {
		return nil, err
	}
	if held != nil {
		files[heldFile] = held
	}
	files["STATUS.md"] = statusPage(records, problems)
	return files, nil
}

// hasTold tells that this process has pushed to the ledger. What was seen of it may
// be older.
func (s *scribe) hasTold() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.toldAt.IsZero()
}

// seen is the ledger as it was seen last; nil where it never was.
func (s *scribe) seen() (tree fs.FS, head string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last, s.head
}

func (s *scribe) backlog() (Backlog, error) {
	lines, _, _, err := s.lines()
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

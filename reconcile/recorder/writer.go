package recorder

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

	"certroll/reconcile/archive"
	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/reconcile/statuspage"
	"certroll/spec/redact"
)

// Writer tells the ledger what happened: first into the journal, which
// outlives a crash, then as one commit for all that ended together.
type Writer struct {
	Flushing *semaphore.Weighted // of those that push
	Ledger   ledger.Ledger
	Journal  ledger.Journal
	Now      func() time.Time
	Records  *archive.RecordCache
	Redact   *redact.Redactor // nil: no secret is known

	Unwritten unwritten // what the journal's disk did not take

	Mu     sync.Mutex // is not held while Git is talked to
	Last   fs.FS      // the newest tree that was seen
	Head   string     // its commit
	toldAt time.Time  // when all that was to be told had been pushed last
}

// Snapshot is the ledger's tree and head. A Git that cannot be reached is no
// reason to let certificates expire: the tree seen last stands in, which is
// not fresh, and what happened since is in the journal.
func (s *Writer) Snapshot(ctx context.Context) (tree fs.FS, head string, fresh bool, err error) {
	tree, head, err = s.Ledger.Snapshot(ctx)
	s.Mu.Lock()
	defer s.Mu.Unlock()
	if err == nil {
		s.Last, s.Head = tree, head
	} else if s.Last == nil || ctx.Err() != nil {
		return nil, "", false, err
	}
	return s.Last, s.Head, err == nil, nil
}

// Struck is an entry with no secret that certroll knows in what others said.
// Everything that the ledger is told passes here.
func (s *Writer) Struck(e ledger.Entry) ledger.Entry {
	e.Event.Message, e.Event.Detail = s.Redact.Strike(e.Event.Message), s.Redact.Strike(e.Event.Detail)
	e.Event.PassedOver = slices.Clone(e.Event.PassedOver)
	for i := range e.Event.PassedOver {
		e.Event.PassedOver[i].Message = s.Redact.Strike(e.Event.PassedOver[i].Message)
	}
	if e.Record == nil {
		return e
	}
	r := *e.Record
	if r.LastFailure != nil {
		f := *r.LastFailure
		f.Message, r.LastFailure = s.Redact.Strike(f.Message), &f
	}
	if r.Hold != nil {
		h := *r.Hold
		h.Reason, r.Hold = s.Redact.Strike(h.Reason), &h
	}
	e.Record = &r
	return e
}

// Mend looks for the last readable versions of records that cannot be read,
// where the ledger can show what it was before. What keeps it from that is one
// more finding: it stops nothing, and the next look tries again.
func (s *Writer) Mend(ctx context.Context, tree fs.FS) []archive.Breach {
	past, _ := s.Ledger.(archive.Earlier)
	_, err := s.Records.Read(tree)
	if err == nil {
		_, err = s.Records.Mend(ctx, past)
	}
	if err == nil {
		return nil
	}
	return archive.Lose(nil, ledger.RecordDir, 0, err.Error())
}

func (s *Writer) entries() ([]ledger.Entry, error) {
	entries, _, _, err := s.allEntries()
	return entries, err
}

// allEntries are the entries with how many of them the journal has, and the number
// of the last one that it has not.
func (s *Writer) allEntries() (entries []ledger.Entry, written, last int, err error) {
	lines, written, last, err := s.lines()
	if err != nil {
		return nil, 0, 0, err
	}
	entries = make([]ledger.Entry, 0, len(lines))
	for _, line := range lines {
		var e ledger.Entry
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, 0, 0, fmt.Errorf("reading the journal: %w; it was written by another certroll: finish it with that one", err)
		}
		entries = append(entries, e)
	}
	return entries, written, last, nil
}

// Overlay lays what waits in the journal over what the ledger says, so that a
// Git that cannot be reached shortens no back-off and widens no limit.
func (s *Writer) Overlay(obs *plan.Observed) error {
	entries, err := s.entries()
	if err != nil || len(entries) == 0 {
		return err
	}
	obs.Records, obs.Done = maps.Clone(obs.Records), map[string]string{}
	known := make(map[string]bool, len(obs.History))
	for _, e := range obs.History {
		known[e.ID] = true
	}
	for _, e := range entries {
		if e.Drop != "" {
			obs.Done[e.Drop] = e.Event.KeyDigest
		}
		if e.Record != nil && ledger.Newer(e.Record, obs.Records[e.Record.Certificate]) {
			obs.Records[e.Record.Certificate] = e.Record
		}
		if !known[e.Event.ID] {
			obs.History = append(obs.History, e.Event)
		}
	}
	return nil
}

// Flush commits and pushes all that the journal holds, then forgets it.
func (s *Writer) Flush(ctx context.Context) (commit string, told []ledger.Entry, err error) {
	if err := s.Flushing.Acquire(ctx, 1); err != nil {
		return "", nil, err
	}
	defer s.Flushing.Release(1)
	told, written, last, err := s.allEntries()
	if err != nil || len(told) == 0 {
		return "", nil, err
	}
	commit, err = s.Ledger.Commit(ctx, statuspage.CommitMessage(told), func(tree fs.FS) (map[string][]byte, error) {
		return s.Edit(tree, told)
	})
	if err != nil {
		return "", nil, err
	}
	s.Mu.Lock()
	s.toldAt = s.Now()
	s.Mu.Unlock()
	s.Unwritten.told(last)
	return commit, told, s.Journal.Ack(written)
}

// Edit replays entries on a tree of the ledger. Replaying twice changes
// nothing: an event is known by its id, a record by its time.
func (s *Writer) Edit(tree fs.FS, entries []ledger.Entry) (map[string][]byte, error) {
	records, err := s.Records.Read(tree)
	if err != nil {
		return nil, err
	}
	events := make([]ledger.Event, len(entries))
	changed := map[string]bool{}
	for i, e := range entries {
		events[i] = e.Event
		if e.Record != nil && ledger.Newer(e.Record, records[e.Record.Certificate]) {
			records[e.Record.Certificate] = e.Record
			changed[e.Record.Certificate] = true
		}
	}
	files, err := archive.AppendEvents(tree, events, s.Now())
	if err != nil {
		return nil, err
	}
	if files == nil {
		files = map[string][]byte{}
	}
	for _, name := range s.Records.Restored() {
		changed[name] = true
	}
	for name := range changed {
		if files[ledger.RecordFile(name)], err = ledger.MarshalRecord(records[name]); err != nil {
			return nil, err
		}
	}
	text, problems, err := archive.EditProblems(tree, entries)
	if err != nil {
		return nil, err
	}
	if text != nil {
		files[ledger.ProblemsFile] = text
	}
	held, err := archive.EditHeld(tree, entries, s.Now())
	if err != nil {
		return nil, err
	}
	if held != nil {
		files[ledger.HeldFile] = held
	}
	files["STATUS.md"] = statuspage.StatusPage(records, problems)
	return files, nil
}

// HasTold tells that this process has pushed to the ledger. What was seen of it may
// be older.
func (s *Writer) HasTold() bool {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	return !s.toldAt.IsZero()
}

// Seen is the ledger as it was seen last; nil where it never was.
func (s *Writer) Seen() (tree fs.FS, head string) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	return s.Last, s.Head
}

func (s *Writer) backlog() (Backlog, error) {
	lines, _, _, err := s.lines()
	if err != nil {
		return Backlog{}, err
	}
	s.Mu.Lock()
	b := Backlog{Events: len(lines), ToldAt: s.toldAt}
	s.Mu.Unlock()
	if len(lines) == 0 {
		return b, nil
	}
	var first ledger.Entry
	if err := json.Unmarshal(lines[0], &first); err != nil {
		return b, fmt.Errorf("reading the journal: %w", err)
	}
	b.Oldest = first.Event.Time
	return b, nil
}

func (s *Writer) open() ([]ledger.Problem, error) {
	s.Mu.Lock()
	tree := s.Last
	s.Mu.Unlock()
	if tree == nil {
		return nil, nil
	}
	known, err := archive.ReadProblems(tree)
	if err != nil {
		return nil, err
	}
	waiting, err := s.entries()
	if err != nil {
		return nil, err
	}
	return ledger.LatestProblems(known, waiting).Problems, nil
}

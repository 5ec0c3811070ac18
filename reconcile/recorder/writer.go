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
	"certroll/reconcile/failure"
	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/reconcile/statuspage"
	"certroll/spec/redact"
)

// Writer writes entries to the journal, which survives a crash, and publishes them to the
// ledger with one commit for all that ended together.
type Writer struct {
	Flushing *semaphore.Weighted // serializes pushes
	Ledger   ledger.Ledger
	Journal  ledger.Journal
	Now      func() time.Time
	Records  *archive.RecordCache
	Redact   *redact.Redactor // nil: no secrets to redact

	Unwritten unwritten // entries that the journal's disk rejected

	Mu          sync.Mutex // not held during calls to Git
	Last        fs.FS      // newest tree seen
	Head        string     // commit of Last
	publishedAt time.Time  // last time all entries were published
}

// Snapshot returns the ledger's tree and head. If Git is unreachable, it returns the tree
// seen last with fresh = false: certificates must not expire because of Git, and the
// journal has the events since.
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

// Struck returns an entry without the secrets that certroll knows. Messages quote CAs and
// DNS providers, and the ledger is a Git repository: every entry passes here.
func (s *Writer) Struck(e ledger.Entry) ledger.Entry {
	e.Event.Message, e.Event.Detail = s.Redact.Strike(e.Event.Message), s.Redact.Strike(e.Event.Detail)
	// Copies, because the caller keeps its entry.
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

// Mend finds the last readable versions of damaged and deleted records, if the ledger can read its
// earlier commits. An error becomes one more finding: it stops nothing, and a later pass
// retries.
func (s *Writer) Mend(ctx context.Context, tree fs.FS) []archive.Breach {
	past, _ := s.Ledger.(archive.Earlier)
	_, err := s.Records.Read(tree)
	if err == nil {
		_, err = s.Records.Mend(ctx, tree, past, s.Now())
	}
	if err == nil {
		return nil
	}
	return archive.Lose(nil, ledger.RecordDir, 0, err.Error())
}

// entries returns all unpublished entries, oldest first.
func (s *Writer) entries() ([]ledger.Entry, error) {
	lines, _, err := s.Unwritten.waiting(s.Journal)
	if err != nil {
		return nil, err
	}
	return decoded(lines)
}

// decoded returns the entries of the journal's lines.
func decoded(lines [][]byte) ([]ledger.Entry, error) {
	entries := make([]ledger.Entry, 0, len(lines))
	for _, line := range lines {
		var e ledger.Entry
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, fmt.Errorf("reading the journal: %w; it was written by another certroll: finish it with that one", err)
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// Overlay adds the unpublished entries to an observation. An unreachable Git therefore
// shortens no back-off and raises no rate limit.
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
		// A plan ignores a pending secret whose attempt has ended.
		if e.Drop != "" {
			obs.Done[e.Drop] = e.Event.KeyDigest
		}
		if e.Record != nil && ledger.Newer(e.Record, obs.Records[e.Record.Certificate]) {
			obs.Records[e.Record.Certificate] = e.Record
		}
		if !known[e.Event.ID] {
			known[e.Event.ID] = true
			obs.History = append(obs.History, e.Event)
		}
	}
	return nil
}

// Flush commits and pushes all unpublished entries, then removes them from the journal. A
// journal that cannot remove them is no error of Flush, because the push is done: Unwritten
// has the error, and no later Flush commits these entries again.
func (s *Writer) Flush(ctx context.Context) (commit string, entries []ledger.Entry, err error) {
	if err := s.Flushing.Acquire(ctx, 1); err != nil {
		return "", nil, fmt.Errorf("writing the ledger: waiting for the push before: %w", err)
	}
	defer s.Flushing.Release(1)
	lines, last, err := s.Unwritten.waiting(s.Journal)
	if err != nil {
		return "", nil, &failure.Error{Code: ledger.ClassInternal, Err: err}
	}
	if entries, err = decoded(lines); err != nil || len(entries) == 0 {
		return "", nil, err
	}
	commit, err = s.Ledger.Commit(ctx, statuspage.CommitMessage(entries), func(tree fs.FS) (map[string][]byte, error) {
		return s.Edit(tree, entries)
	})
	if err != nil {
		return "", nil, fmt.Errorf("writing the ledger: %w; the events are safe in the journal, and the next run writes them to the ledger", err)
	}
	s.Mu.Lock()
	s.publishedAt = s.Now()
	s.Mu.Unlock()
	// Only the entries of this commit: others may have been recorded during the push.
	s.Unwritten.markPublished(s.Journal, lines, last)
	return commit, entries, nil
}

// Edit applies entries to a tree of the ledger and returns the changed files. Applying an
// entry twice changes nothing: events have IDs, and records have times.
func (s *Writer) Edit(tree fs.FS, entries []ledger.Entry) (map[string][]byte, error) {
	records, err := s.Records.Read(tree)
	if err != nil {
		return nil, err
	}
	events := make([]ledger.Event, len(entries))
	changed := map[string]bool{}
	for i, e := range entries {
		events[i] = e.Event
		// An older record, such as one replayed after a crash, must not replace a newer
		// one.
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
	// Records that Mend found in earlier commits are written back.
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

// HasPublished reports whether this process has pushed to the ledger.
func (s *Writer) HasPublished() bool {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	return !s.publishedAt.IsZero()
}

// Seen returns the ledger's tree seen last, and its commit; nil if none was seen.
func (s *Writer) Seen() (tree fs.FS, head string) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	return s.Last, s.Head
}

// backlog returns the number of unpublished entries and the time of the oldest.
func (s *Writer) backlog() (Backlog, error) {
	lines, _, err := s.Unwritten.waiting(s.Journal)
	if err != nil {
		return Backlog{}, err
	}
	s.Mu.Lock()
	b := Backlog{Events: len(lines), PublishedAt: s.publishedAt}
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

// open returns the open problems of the tree seen last and the unpublished entries.
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

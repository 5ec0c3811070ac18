package reconcile

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"
)

// entry is one line of the journal: what the ledger is to be told.
type entry struct {
	Event  Event   `json:"event"`
	Record *Record `json:"record,omitempty"`
	// Drop names the certificate whose pending secret goes once this is told.
	Drop string `json:"drop,omitempty"`
	// Problems are those that examinations found and that are open after it.
	Problems *Problems `json:"problems,omitempty"`
}

// scribe tells the ledger what happened: first into the journal, which
// outlives a crash, then as one commit for all that ended together.
type scribe struct {
	mu      sync.Mutex
	ledger  Ledger
	journal Journal
	now     func() time.Time
	last    fs.FS // the newest tree that was seen
	records recordCache
}

// snapshot is the ledger's tree. A Git that cannot be reached is no reason to
// let certificates expire: the tree seen last stands in, and what happened
// since is in the journal.
func (s *scribe) snapshot(ctx context.Context) (fs.FS, error) {
	tree, _, err := s.ledger.Snapshot(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.last = tree
	} else if s.last == nil || ctx.Err() != nil {
		return nil, err
	}
	return s.last, nil
}

// note puts an entry where a crash does not reach it.
func (s *scribe) note(e entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encoding a journal entry: %w", err)
	}
	return s.journal.Append(line)
}

func (s *scribe) entries() ([]entry, error) {
	lines, err := s.journal.Entries()
	if err != nil {
		return nil, err
	}
	entries := make([]entry, 0, len(lines))
	for _, line := range lines {
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, fmt.Errorf("reading the journal: %w; it was written by another certroll: finish it with that one", err)
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// overlay lays what waits in the journal over what the ledger says, so that a
// Git that cannot be reached shortens no back-off and widens no limit.
func (s *scribe) overlay(obs *Observed) error {
	entries, err := s.entries()
	if err != nil {
		return err
	}
	known := make(map[string]bool, len(obs.History))
	for _, e := range obs.History {
		known[e.ID] = true
	}
	for _, e := range entries {
		if e.Record != nil && newer(e.Record, obs.Records[e.Record.Certificate]) {
			obs.Records[e.Record.Certificate] = e.Record
		}
		if !known[e.Event.ID] {
			obs.History = append(obs.History, e.Event)
		}
	}
	return nil
}

func newer(r, than *Record) bool { return than == nil || !r.UpdatedAt.Before(than.UpdatedAt) }

// flush commits and pushes all that the journal holds, then forgets it.
func (s *scribe) flush(ctx context.Context) (commit string, told []entry, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	told, err = s.entries()
	if err != nil || len(told) == 0 {
		return "", nil, err
	}
	commit, err = s.ledger.Commit(ctx, commitMessage(told), func(tree fs.FS) (map[string][]byte, error) {
		return s.edit(tree, told)
	})
	if err != nil {
		return "", nil, err
	}
	return commit, told, s.journal.Ack(len(told))
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
	for name := range changed {
		if files[recordFile(name)], err = MarshalRecord(records[name]); err != nil {
			return nil, err
		}
	}
	if b, err := editProblems(tree, entries); err != nil {
		return nil, err
	} else if b != nil {
		files[problemsFile] = b
	}
	files["STATUS.md"] = statusPage(records)
	return files, nil
}

// maxTrailers bounds the certificates that a commit message names.
const maxTrailers = 50

// commitMessage says what happened in its first line and carries trailers.
func commitMessage(entries []entry) string {
	byWhat := map[string]int{}
	for _, e := range entries {
		byWhat[string(e.Event.Operation)+" "+string(e.Event.Status)]++
	}
	var b strings.Builder
	if len(entries) == 1 {
		e := entries[0].Event
		fmt.Fprintf(&b, "%s\n", strings.TrimSpace(fmt.Sprintf("%s %s: %s", e.Operation, e.Certificate, e.Status)))
	} else {
		var parts []string
		for what, n := range byWhat {
			parts = append(parts, fmt.Sprintf("%d %s", n, what))
		}
		sort.Strings(parts)
		fmt.Fprintf(&b, "%s\n", strings.Join(parts, ", "))
	}
	b.WriteString("\n")
	for _, t := range trailers(entries) {
		b.WriteString(t + "\n")
	}
	return b.String()
}

func trailers(entries []entry) []string {
	var ts []string
	add := func(key, value string) {
		if t := key + ": " + firstLine(value); value != "" && !slices.Contains(ts, t) {
			ts = append(ts, t)
		}
	}
	for i, e := range entries {
		add("Operation", string(e.Event.Operation))
		if i < maxTrailers {
			add("Certificate", e.Event.Certificate)
		}
		add("Revision", e.Event.Revision)
		add("Reason", string(e.Event.Reason))
	}
	sort.SliceStable(ts, func(i, j int) bool { return trailerRank(ts[i]) < trailerRank(ts[j]) })
	return ts
}

func trailerRank(t string) int {
	key, _, _ := strings.Cut(t, ":")
	return slices.Index([]string{"Operation", "Certificate", "Revision", "Reason"}, key)
}

package reconcile

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
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
	flushing *semaphore.Weighted // of those that push
	ledger   Ledger
	journal  Journal
	now      func() time.Time
	records  *recordCache

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

func newer(r, than *Record) bool { return than == nil || !r.UpdatedAt.Before(than.UpdatedAt) }

// flush commits and pushes all that the journal holds, then forgets it.
func (s *scribe) flush(ctx context.Context) (commit string, told []entry, err error) {
	if err := s.flushing.Acquire(ctx, 1); err != nil {
		return "", nil, err
	}
	defer s.flushing.Release(1)
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
	s.mu.Lock()
	s.toldAt = s.now()
	s.mu.Unlock()
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
	text, problems, err := editProblems(tree, entries)
	if err != nil {
		return nil, err
	}
	if text != nil {
		files[problemsFile] = text
	}
	files["STATUS.md"] = statusPage(records, problems)
	return files, nil
}

// maxTrailers bounds the certificates that a commit message names.
const maxTrailers = 50

// maxHeadline is how long the first line of a commit message is at most, by the
// usual rules.
const maxHeadline = 72

// commitMessage says what happened in its first line and carries trailers.
func commitMessage(entries []entry) string {
	subject := commitSubject(entries)
	if len(subject) > maxHeadline {
		subject = headline(entries)
	}
	return subject + "\n\n" + strings.Join(trailers(entries), "\n") + "\n"
}

// headline is how many there were of what, where naming them is too long.
func headline(entries []entry) string {
	if len(entries) == 1 {
		return headlineOf(entries[0].Event)
	}
	byWhat, byStatus := map[string]int{}, map[string]int{}
	for _, e := range entries {
		byWhat[string(e.Event.Operation)+" "+string(e.Event.Status)]++
		byStatus[string(e.Event.Status)]++
	}
	if s := counts(byWhat); len(s) <= maxHeadline {
		return s
	}
	return counts(byStatus) // the operations are among the trailers
}

// headlineOf is the first line for one event; a name that is too long is cut, it
// stands whole among the trailers.
func headlineOf(e Event) string {
	what, came := string(e.Operation), ": "+string(e.Status)
	name := firstLine(e.Certificate)
	if name == "" {
		return what + came
	}
	if room := maxHeadline - len(what) - len(came) - 1; len(name) > room {
		name = cut(name, room-len("..."))
	}
	return what + " " + name + came
}

// counts is "2 issue success, 1 renew failure".
func counts(of map[string]int) string {
	var parts []string
	for what, n := range of {
		parts = append(parts, fmt.Sprintf("%d %s", n, what))
	}
	sort.Strings(parts)
	return strings.Join(parts, ", ")
}

// commitSubject says what was done to which certificates, and how it ended;
// what went wrong comes first.
func commitSubject(entries []entry) string {
	type kind struct {
		operation Kind
		status    Status
	}
	certificates := map[kind][]string{}
	for _, e := range entries {
		k := kind{e.Event.Operation, e.Event.Status}
		certificates[k] = append(certificates[k], e.Event.Certificate)
	}
	kinds := slices.SortedFunc(maps.Keys(certificates), func(a, b kind) int {
		order := []Status{Failed, Denied, Held, Success}
		return cmp.Or(cmp.Compare(slices.Index(order, a.status), slices.Index(order, b.status)), cmp.Compare(a.operation, b.operation))
	})
	parts := make([]string, 0, len(kinds))
	for _, k := range kinds {
		named := slices.Compact(slices.Sorted(slices.Values(certificates[k])))
		named = slices.DeleteFunc(named, func(name string) bool { return name == "" })
		parts = append(parts, strings.TrimSpace(fmt.Sprintf("%s %s", k.operation, shortNames(named)))+": "+string(k.status))
	}
	return strings.Join(parts, "; ")
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

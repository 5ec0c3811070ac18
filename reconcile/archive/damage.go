package archive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"certroll/reconcile/ledger"
	"certroll/spec/text"
)

// Unreadable parts of a ledger are findings and stop nothing: plan, apply, run, status and
// retry go on without them. Anyone with push access could otherwise stop all renewals.

// Lose adds an unreadable file or line to a list, up to MostFindings.
func Lose(list []Breach, file string, line int, problem string) []Breach {
	if len(list) == MostFindings {
		return list
	}
	problem = inert(problem)
	return append(list, Breach{File: inert(file), Line: line, Problem: "it cannot be read and is passed over: " + problem, Expected: "what certroll writes there", Seen: problem})
}

// inert returns foreign text as one short line without terminal control characters.
func inert(s string) string { return text.Clipped(s, 300) }

// isNoDirectory reports whether a file is at a directory's path.
func isNoDirectory(tree fs.FS, name string) bool {
	info, err := fs.Stat(tree, name)
	return err == nil && !info.IsDir()
}

// Unreadable returns the unreadable records, open problems, held sets, audit files and
// audit lines of a ledger's tree. An error means that the tree itself cannot be read.
func Unreadable(tree fs.FS) ([]Breach, error) {
	var records RecordCache
	if _, err := records.Read(tree); err != nil {
		return nil, err
	}
	var history HistoryCache
	if _, err := history.Read(tree, time.Time{}); err != nil {
		return nil, err
	}
	_, lost, err := LoadProblems(tree)
	if isNoDirectory(tree, ledger.AuditDir) {
		lost = Lose(lost, ledger.AuditDir, 0, "it is no directory")
	}
	_, held, heldErr := ReadHeldSets(tree)
	return slices.Concat(records.Lost, lost, held, history.Lost), errors.Join(err, heldErr)
}

// ReadLedger reads the records of a ledger's tree. For an unreadable record it uses the
// last readable version in past, the ledger's history, which may be nil. lost lists the
// unreadable records, and an error of reading the history.
func ReadLedger(ctx context.Context, tree fs.FS, past Earlier, now time.Time) (records map[string]*ledger.Record, lost []Breach, err error) {
	var c RecordCache
	records, err = c.Read(tree)
	if err != nil {
		return nil, nil, err
	}
	// A second read takes the versions that Mend found; the cache keeps the rest.
	found, mendErr := c.Mend(ctx, tree, past, now)
	if found {
		records, err = c.Read(tree)
	}
	lost = c.Unreadable()
	// A history that cannot be read is no reason to stop: the records at hand are good.
	if mendErr != nil {
		lost = Lose(lost, ledger.RecordDir, 0, mendErr.Error())
	}
	return records, lost, err
}

// UnreadableEvents returns one event per unreadable file or line and content, and one per
// deletion of a record. The record may be the same at the next deletion, so that event also
// has the day.
func UnreadableEvents(lost []Breach, now time.Time) []ledger.Event {
	events := make([]ledger.Event, 0, len(lost))
	for _, f := range lost {
		message := f.Where() + " in the ledger cannot be read and is passed over: " + f.Seen
		id := []string{"unreadable", f.File, f.Problem, fmt.Sprint(f.Line)}
		if f.Problem == deletedRecord {
			id = append(id, f.version, now.UTC().Format(time.DateOnly))
			message = f.Where() + " in the ledger was deleted; its last version counts, and the next commit writes it again"
		}
		events = append(events, ledger.Event{
			Schema: ledger.EventSchema, ID: ledger.EventID(id...), Time: now.UTC().Truncate(time.Millisecond),
			Operation: ledger.KindNote, Status: ledger.Failed, Reason: ledger.ReasonDamaged, Actor: "unknown", Cause: "drift", Class: ledger.ClassGit,
			Message: message,
			Detail:  "find out who pushed it (git log on the ledger's branch) and revert that commit; certroll audit verify lists every unreadable file and line",
		})
	}
	return events
}

// Where returns the place in the ledger for a message.
func (f Breach) Where() string {
	if f.Line > 0 {
		return fmt.Sprintf("%s line %d", f.File, f.Line)
	}
	return f.File
}

// LoadProblems is ReadProblems, and also returns the damage of the file.
func LoadProblems(tree fs.FS) (*ledger.Problems, []Breach, error) {
	none := &ledger.Problems{Schema: ledger.ProblemsSchema, Problems: []ledger.Problem{}}
	b, err := fs.ReadFile(tree, ledger.ProblemsFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return none, nil, nil
	case errors.Is(err, fs.ErrInvalid):
		return none, Lose(nil, ledger.ProblemsFile, 0, err.Error()), nil
	case err != nil:
		return nil, nil, fmt.Errorf("reading the ledger's %s: %w", ledger.ProblemsFile, err)
	}
	p := &ledger.Problems{Schema: ledger.ProblemsSchema, Problems: []ledger.Problem{}}
	if err := json.Unmarshal(b, p); err != nil {
		return none, Lose(nil, ledger.ProblemsFile, 0, err.Error()), nil
	}
	if p.Schema > ledger.ProblemsSchema {
		return none, Lose(nil, ledger.ProblemsFile, 0, fmt.Sprintf("it has schema %d, and this certroll knows %d: use the newer one", p.Schema, ledger.ProblemsSchema)), nil
	}
	// Anyone with push access may write a probe problem that names no certificate. Its
	// readers rely on the first one.
	p.Problems = slices.DeleteFunc(p.Problems, func(o ledger.Problem) bool { return o.Operation == ledger.KindProbe && len(o.Certificates) == 0 })
	return p, nil, nil
}

// nextAuditFile returns the file that continues the log if certroll cannot append to file.
func nextAuditFile(file string) string { return strings.TrimSuffix(file, ".jsonl") + "a.jsonl" }

package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"certroll/spec/text"
)

// What of a ledger cannot be read is a finding and stops nothing: plan, apply,
// run, status and retry go on without it. This file names it.

// lose adds what cannot be read. A log that is garbage has a line after another.
func lose(list []Breach, file string, line int, problem string) []Breach {
	if len(list) == mostFindings {
		return list
	}
	problem = inert(problem)
	return append(list, Breach{File: inert(file), Line: line, Problem: "it cannot be read and is passed over: " + problem, Expected: "what certroll writes there", Seen: problem})
}

// inert is what somebody else wrote as one short line that acts on no terminal.
func inert(s string) string {
	const most = 300
	s = text.Line(s)
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}

// isNoDirectory tells that something else is where a directory belongs.
func isNoDirectory(tree fs.FS, name string) bool {
	info, err := fs.Stat(tree, name)
	return err == nil && !info.IsDir()
}

// Unreadable is what of a ledger's tree cannot be read: records, open problems,
// files and lines of the audit log. An error is the tree's own.
func Unreadable(tree fs.FS) ([]Breach, error) {
	var records recordCache
	if _, err := records.read(tree); err != nil {
		return nil, err
	}
	var history historyCache
	if _, err := history.read(tree, time.Time{}); err != nil {
		return nil, err
	}
	_, lost, err := loadProblems(tree)
	if isNoDirectory(tree, auditDir) {
		lost = lose(lost, auditDir, 0, "it is no directory")
	}
	_, held, heldErr := readHeldSets(tree)
	return slices.Concat(records.lost, lost, held, history.lost), errors.Join(err, heldErr)
}

// ReadLedger reads the records of a ledger's tree. For one that cannot be read
// the last version of the ledger's history stands in; past may be nil. lost names
// what cannot be read of the records, and where the history could not be read.
func ReadLedger(ctx context.Context, tree fs.FS, past Earlier) (records map[string]*Record, lost []Breach, err error) {
	var c recordCache
	records, err = c.read(tree)
	if err != nil {
		return nil, nil, err
	}
	found, mendErr := c.mend(ctx, past)
	if found {
		records, err = c.read(tree)
	}
	lost = c.unreadable()
	if mendErr != nil {
		lost = lose(lost, recordDir, 0, mendErr.Error())
	}
	return records, lost, err
}

// unreadableEvents tell of what cannot be read, once for each content.
func unreadableEvents(lost []Breach, now time.Time) []Event {
	events := make([]Event, 0, len(lost))
	for _, f := range lost {
		events = append(events, Event{
			Schema: EventSchema, ID: eventID("unreadable", f.File, f.Problem, fmt.Sprint(f.Line)), Time: now.UTC().Truncate(time.Millisecond),
			Operation: KindNote, Status: Failed, Reason: ReasonDamaged, Actor: "unknown", Cause: "drift", Class: ClassGit,
			Message: f.Where() + " in the ledger cannot be read and is passed over: " + f.Seen,
			Detail:  "find out who pushed it (git log on the ledger's branch) and revert that commit; certroll audit verify lists every unreadable file and line",
		})
	}
	return events
}

// Where is the place in the ledger, as a person calls it.
func (f Breach) Where() string {
	if f.Line > 0 {
		return fmt.Sprintf("%s line %d", f.File, f.Line)
	}
	return f.File
}

// loadProblems is ReadProblems, and what is wrong with the file.
func loadProblems(tree fs.FS) (*Problems, []Breach, error) {
	none := &Problems{Schema: problemsSchema, Problems: []Problem{}}
	b, err := fs.ReadFile(tree, problemsFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return none, nil, nil
	case errors.Is(err, fs.ErrInvalid):
		return none, lose(nil, problemsFile, 0, err.Error()), nil
	case err != nil:
		return nil, nil, fmt.Errorf("reading the ledger's %s: %w", problemsFile, err)
	}
	p := &Problems{Schema: problemsSchema, Problems: []Problem{}}
	if err := json.Unmarshal(b, p); err != nil {
		return none, lose(nil, problemsFile, 0, err.Error()), nil
	}
	if p.Schema > problemsSchema {
		return none, lose(nil, problemsFile, 0, fmt.Sprintf("it has schema %d, and this certroll knows %d: use the newer one", p.Schema, problemsSchema)), nil
	}
	// Whoever may push can write one that concerns nobody: certroll never does.
	p.Problems = slices.DeleteFunc(p.Problems, func(o Problem) bool { return o.Operation == KindProbe && len(o.Certificates) == 0 })
	return p, nil, nil
}

// nextAuditFile is where the log goes on after a file that cannot be added to.
func nextAuditFile(file string) string { return strings.TrimSuffix(file, ".jsonl") + "a.jsonl" }

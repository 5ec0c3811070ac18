package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"certroll/reconcile/ledger"
)

// AuditFile returns the file for events appended at t: audit/2026/11.jsonl.
func AuditFile(t time.Time) string {
	return path.Join(ledger.AuditDir, t.UTC().Format("2006/01")+".jsonl")
}

// AuditFiles lists the audit files of a ledger, the oldest first.
func AuditFiles(tree fs.FS) ([]string, error) {
	var files []string
	years, err := fs.ReadDir(tree, ledger.AuditDir)
	if errors.Is(err, fs.ErrNotExist) || err != nil && isNoDirectory(tree, ledger.AuditDir) {
		return nil, nil // the next event replaces a file at the directory's path
	}
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", ledger.AuditDir, err)
	}
	for _, y := range years {
		if !y.IsDir() {
			continue // a file that a person added, such as a README
		}
		months, err := fs.ReadDir(tree, path.Join(ledger.AuditDir, y.Name()))
		if err != nil {
			return nil, fmt.Errorf("listing %s/%s: %w", ledger.AuditDir, y.Name(), err)
		}
		for _, m := range months {
			if strings.HasSuffix(m.Name(), ".jsonl") && !m.IsDir() {
				files = append(files, path.Join(ledger.AuditDir, y.Name(), m.Name()))
			}
		}
	}
	// The names sort by time: year, then month, then the suffix of nextAuditFile.
	slices.Sort(files)
	return files, nil
}

// AppendEvents returns the edit that appends the events that the ledger lacks, chained to
// its last line. They go to the file of now, or to the newest file if the clock went back,
// so that the order of the files is the order of the chain.
func AppendEvents(tree fs.FS, events []ledger.Event, now time.Time) (map[string][]byte, error) {
	files, err := AuditFiles(tree)
	if err != nil {
		return nil, err
	}
	// A clock that went back must not start an older file: the chain follows the file
	// names.
	target := AuditFile(now)
	if n := len(files); n > 0 && files[n-1] > target {
		target = files[n-1]
	}
	// Read last month's file too: a run may have pushed an event at the end of the month
	// and died before it could acknowledge its journal.
	seen := map[string]bool{}
	var prev string
	var body []byte
	for _, f := range files[max(0, len(files)-2):] {
		b, err := fs.ReadFile(tree, f)
		if errors.Is(err, fs.ErrInvalid) {
			// The file is too large to append to: the log continues in another file, chained
			// to the last line that is readable.
			if f == target {
				target, body = nextAuditFile(target), nil
			}
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", f, err)
		}
		// Notifications and limits would count an event twice that is in the log twice.
		ledger.IdsIn(b, seen)
		if last := LastLine(b); last != nil {
			prev = ledger.LineHash(last)
		}
		if f == target {
			body = b
		}
	}
	fresh := 0
	for _, e := range events {
		if seen[e.ID] {
			continue
		}
		e.Schema, e.Prev = ledger.EventSchema, prev
		line, err := ledger.PlainJSON(e, "")
		if err != nil {
			return nil, fmt.Errorf("encoding an event: %w", err)
		}
		body = append(append(body, line...), '\n')
		seen[e.ID] = true
		prev = ledger.LineHash(line)
		fresh++
	}
	// No edit means no commit.
	if fresh == 0 {
		return nil, nil
	}
	return map[string][]byte{target: body}, nil
}

// LastLine returns the last line of an audit file without its newline; nil if there is
// none.
func LastLine(b []byte) []byte {
	b = bytes.TrimRight(b, "\n")
	if len(b) == 0 {
		return nil
	}
	if i := bytes.LastIndexByte(b, '\n'); i >= 0 {
		b = b[i+1:]
	}
	return b
}

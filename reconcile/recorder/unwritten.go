package recorder

import (
	"encoding/json"
	"fmt"
	"sync"

	"certroll/reconcile/ledger"
)

// unwritten are journal entries that the disk did not take. They are told like
// those that it took, for as long as the process lives, so that a full disk
// shortens no back-off and loses nothing that Git still takes. What a crash takes
// with it the next run tells again, from the pending secrets.
type unwritten struct {
	mu    sync.Mutex
	lines []unwrittenLine
	seq   int
	cause error // of the last try; nil once the journal is written again
}

type unwrittenLine struct {
	seq  int
	id   string // the event's
	line []byte
}

// mostUnwritten bounds what is kept in memory.
const mostUnwritten = 10_000

// append writes a line into the journal, behind those that it did not take before.
// It fails where the line is kept nowhere.
func (u *unwritten) append(j ledger.Journal, id string, line []byte) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.cause = u.writeOut(j)
	if u.cause == nil {
		if u.cause = j.Append(line); u.cause == nil {
			return nil
		}
	}
	if _, never := j.(interface{ NeverWrites() }); never {
		return u.cause
	}
	if len(u.lines) >= mostUnwritten {
		return fmt.Errorf("%d events wait for the disk already: %w", len(u.lines), u.cause)
	}
	u.seq++
	u.lines = append(u.lines, unwrittenLine{u.seq, id, line})
	return nil
}

// writeOut brings what waits into the journal. The caller has the lock.
func (u *unwritten) writeOut(j ledger.Journal) error {
	for len(u.lines) > 0 {
		if err := j.Append(u.lines[0].line); err != nil {
			return err
		}
		u.lines = u.lines[1:]
	}
	return nil
}

// waiting are the lines, and the number of the last one.
func (u *unwritten) waiting() (lines [][]byte, last int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, l := range u.lines {
		lines = append(lines, l.line)
	}
	return lines, u.seq
}

// told drops the lines up to a number.
func (u *unwritten) told(last int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for len(u.lines) > 0 && u.lines[0].seq <= last {
		u.lines = u.lines[1:]
	}
}

// Of is why an event is in no journal and in no ledger; nil where it is in one.
func (u *unwritten) Of(id string) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, l := range u.lines {
		if l.id == id {
			return u.cause
		}
	}
	return nil
}

// Err is why the journal could not be written the last time; nil where it could.
func (u *unwritten) Err() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.cause
}

// Probe tries to bring what waits into the journal, and whether that takes anything
// at all, where it can be asked.
func (u *unwritten) Probe(j ledger.Journal) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.cause = u.writeOut(j); u.cause == nil {
		if c, ok := j.(interface{ Check() error }); ok {
			u.cause = c.Check()
		}
	}
	return u.cause
}

// lines are the journal's entries, followed by what the disk did not take.
func (s *Writer) lines() (lines [][]byte, written, last int, err error) {
	extra, last := s.Unwritten.waiting()
	lines, err = s.Journal.Entries()
	return append(lines, extra...), len(lines), last, err
}

// Note puts an entry where a crash does not reach it, or where the disk does not
// take it into memory.
func (s *Writer) Note(e ledger.Entry) error {
	line, err := json.Marshal(s.Struck(e))
	if err != nil {
		return fmt.Errorf("encoding a journal entry: %w", err)
	}
	return s.Unwritten.append(s.Journal, e.Event.ID, line)
}

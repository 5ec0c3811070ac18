package recorder

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"certroll/reconcile/ledger"
)

// unwritten holds journal entries that the disk rejected. They are published like the
// others while the process lives: a full disk shortens no back-off and loses no event
// that Git still accepts. After a crash the next run rebuilds them from the pending
// secrets.
type unwritten struct {
	mu    sync.Mutex
	lines []unwrittenLine
	seq   int
	// published are lines that the ledger has and that the journal could not remove: they
	// wait for nothing but the disk.
	published map[string]bool
	cause     error // error of the last write; nil once the journal can be written again
}

type unwrittenLine struct {
	seq  int    // number, counting up from 1
	id   string // ID of the event
	line []byte
}

// mostUnwritten bounds the entries in memory.
const mostUnwritten = 10_000

// append writes a line to the journal, after the lines that the disk rejected before. It
// returns an error if the line is stored nowhere.
func (u *unwritten) append(j ledger.Journal, id string, line []byte) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.cause = u.writeOut(j)
	if u.cause == nil {
		if u.cause = j.Append(line); u.cause == nil {
			return nil
		}
	}
	// The journal of a read-only command never writes, unlike a full disk, which may
	// recover.
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

// writeOut removes the published lines from the journal and moves the held lines to it.
// The caller holds the lock.
func (u *unwritten) writeOut(j ledger.Journal) error {
	if err := u.remove(j); err != nil {
		return err
	}
	for len(u.lines) > 0 {
		if err := j.Append(u.lines[0].line); err != nil {
			return err
		}
		u.lines = u.lines[1:]
	}
	return nil
}

// remove removes the published lines from the journal. The caller holds the lock.
func (u *unwritten) remove(j ledger.Journal) error {
	if len(u.published) == 0 {
		return nil
	}
	lines, err := j.Entries()
	if err != nil {
		return err
	}
	n := 0
	for n < len(lines) && u.published[string(lines[n])] {
		n++
	}
	if err := j.Ack(n); err != nil {
		return err
	}
	u.published = nil
	return nil
}

// waiting returns the lines that the ledger lacks, those of the journal first, and the
// number of the last held one.
func (u *unwritten) waiting(j ledger.Journal) (lines [][]byte, last int, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if lines, err = j.Entries(); err != nil {
		u.cause = err
		return nil, 0, err
	}
	lines = slices.DeleteFunc(lines, func(line []byte) bool { return u.published[string(line)] })
	for _, l := range u.lines {
		lines = append(lines, l.line)
	}
	return lines, u.seq, nil
}

// markPublished drops lines that the ledger has: the held ones up to a number, and those of the
// journal. If the journal cannot remove them, Err has the error, and the next write or
// Probe tries again.
func (u *unwritten) markPublished(j ledger.Journal, lines [][]byte, last int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for len(u.lines) > 0 && u.lines[0].seq <= last {
		u.lines = u.lines[1:]
	}
	if u.published == nil {
		u.published = make(map[string]bool, len(lines))
	}
	for _, line := range lines {
		u.published[string(line)] = true
	}
	if err := u.remove(j); err != nil {
		u.cause = err
	}
}

// Of returns the error that kept an event out of journal and ledger; nil if one has it.
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

// Err returns the error of the last write to the journal, or nil.
func (u *unwritten) Err() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.cause
}

// Probe moves the held lines to the journal. If the journal can be checked, Probe also
// checks whether it accepts writes at all.
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

// Note writes an entry to the journal, where it survives a crash. If the disk rejects the
// entry, it stays in memory.
func (s *Writer) Note(e ledger.Entry) error {
	line, err := json.Marshal(s.Struck(e))
	if err != nil {
		return fmt.Errorf("encoding a journal entry: %w", err)
	}
	return s.Unwritten.append(s.Journal, e.Event.ID, line)
}

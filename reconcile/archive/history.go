package archive

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"slices"
	"sync"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/times"
)

// HistorySpan is how far back rate limits and circuit breakers look: a day more than the
// longest window of Let's Encrypt's limits, which is a week.
const HistorySpan = 8 * times.Day

// HistoryCache caches the events of each file, so that the cost of a read grows with the
// new lines and not with the log.
type HistoryCache struct {
	mu   sync.Mutex
	seed maphash.Seed
	seen map[string]cachedEvents // nil: nothing read yet
	Lost []Breach                // unreadable files and lines of the last read
}

// cachedEvents is the result of the last read of one file.
type cachedEvents struct {
	length int
	text   uint64         // hash of the first length bytes
	since  time.Time      // oldest time that the read covered
	events []ledger.Event // oldest first
	lost   []Breach
}

// ReadHistory reads the events of the ledger since a time, the oldest first.
func ReadHistory(tree fs.FS, since time.Time) ([]ledger.Event, error) {
	return (&HistoryCache{}).Read(tree, since)
}

// Read is ReadHistory with the cache. It reads the files backward from the newest, so that
// the cost does not grow with the age of the log. One line with a wrong time, from a clock
// that was wrong or from another program, hides no other line: the files of the period count
// from end to beginning, and earlier ones as long as each has an event of the period.
func (c *HistoryCache) Read(tree fs.FS, since time.Time) ([]ledger.Event, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	files, err := AuditFiles(tree)
	if err != nil {
		return nil, err
	}
	before := c.seen
	if before == nil {
		c.seed = maphash.MakeSeed()
	}
	c.seen, c.Lost = map[string]cachedEvents{}, nil
	var parts [][]ledger.Event
	unreadable := func(f string, err error) { c.Lost = Lose(c.Lost, f, 0, err.Error()) }
	err = readBackward(tree, files, unreadable, func(f string, b []byte) bool {
		one := c.file(f, before[f], b, since)
		c.seen[f] = one
		// One file full of garbage must not hide the damage of the others or grow the list.
		c.Lost = append(c.Lost, one.lost[:min(len(one.lost), MostFindings-len(c.Lost))]...)
		parts = append(parts, one.events)
		return len(one.events) > 0 || !isBefore(f, since)
	})
	if err != nil {
		return nil, err
	}
	// The files were read newest first.
	slices.Reverse(parts)
	seen := map[string]bool{} // a duplicate line is one event
	return slices.DeleteFunc(slices.Concat(parts...), func(e ledger.Event) bool {
		twice := e.ID != "" && seen[e.ID]
		seen[e.ID] = true
		return twice || e.Time.Before(since)
	}), nil
}

// Unreadable returns the unreadable files and lines of the last read.
func (c *HistoryCache) Unreadable() []Breach {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.Lost)
}

// file reads the events of one file. If the file has only grown, it decodes the new lines.
func (c *HistoryCache) file(name string, was cachedEvents, b []byte, since time.Time) cachedEvents {
	now := cachedEvents{length: len(b), text: maphash.Bytes(c.seed, b), since: since}
	// The cache is good if the file begins with the cached bytes and the cache covers
	// since.
	grown := was.length > 0 && was.length <= len(b) && !since.Before(was.since) && maphash.Bytes(c.seed, b[:was.length]) == was.text
	lines := 0
	// Line numbers in findings count from the beginning of the file.
	if grown {
		lines = bytes.Count(b[:was.length], []byte("\n"))
		b, now.lost = b[was.length:], slices.Clone(was.lost)
	}
	var younger []ledger.Event
	eachBackward(b, func(line int, err error) { now.lost = Lose(now.lost, name, lines+line, err.Error()) }, func(e ledger.Event) bool {
		if !e.Time.Before(since) {
			younger = append(younger, e)
		}
		return true
	})
	slices.Reverse(younger)
	now.events = younger
	if grown {
		old := slices.DeleteFunc(slices.Clone(was.events), func(e ledger.Event) bool { return e.Time.Before(since) })
		now.events = append(old, younger...)
	}
	return now
}

// Credible returns the events with no time in the future. A clock that was ahead would
// otherwise keep limits and breakers in force until its time comes; the event itself has
// certainly happened by now.
func Credible(events []ledger.Event, now time.Time) []ledger.Event {
	if !slices.ContainsFunc(events, func(e ledger.Event) bool { return e.Time.After(now) }) {
		return events
	}
	events = slices.Clone(events)
	for i := range events {
		ahead := events[i].Time.Sub(now)
		if ahead <= 0 {
			continue
		}
		events[i].Time = now
		// A hold keeps its length: its end moves back by as much as the event.
		if until := events[i].HoldUntil; until != nil {
			events[i].HoldUntil = times.Optional(until.Add(-ahead))
		}
	}
	return events
}

// Backward calls more with each event of the ledger, the newest first, until more returns
// false.
func Backward(tree fs.FS, more func(ledger.Event) bool) error {
	return filesBackward(tree, func(_ string, b []byte) bool {
		return eachBackward(b, func(int, error) {}, more)
	})
}

// filesBackward calls more with each audit file, the newest first, until more returns
// false. HistoryCache reports the unreadable ones.
func filesBackward(tree fs.FS, more func(file string, b []byte) bool) error {
	files, err := AuditFiles(tree)
	if err != nil {
		return err
	}
	return readBackward(tree, files, func(string, error) {}, more)
}

// readBackward calls more with each of the files, the last first, until more returns false.
// For a file that is invalid (fs.ErrInvalid) it calls unreadable and goes on.
func readBackward(tree fs.FS, files []string, unreadable func(file string, err error), more func(file string, b []byte) bool) error {
	for _, f := range slices.Backward(files) {
		b, err := fs.ReadFile(tree, f)
		if errors.Is(err, fs.ErrInvalid) {
			unreadable(f, err)
			continue
		}
		if err != nil {
			return fmt.Errorf("reading %s: %w", f, err)
		}
		if !more(f, b) {
			return nil
		}
	}
	return nil
}

// Since calls more with each event of the ledger since a time, the newest line first, until
// more returns false. Like HistoryCache.Read it passes over lines with an earlier time.
func Since(tree fs.FS, since time.Time, more func(ledger.Event) bool) error {
	return filesBackward(tree, func(f string, b []byte) bool {
		some := false
		whole := eachBackward(b, func(int, error) {}, func(e ledger.Event) bool {
			if e.Time.Before(since) {
				return true
			}
			some = true
			return more(e)
		})
		return whole && (some || !isBefore(f, since))
	})
}

// isBefore reports whether an audit file is for events before a time: if it has none since
// then, no earlier file has one. A run may record an event up to a day after it happened.
func isBefore(file string, since time.Time) bool { return file < AuditFile(since.Add(-times.Day)) }

// eachBackward calls more with each event of one file, the newest first, until more returns
// false; whole reports that it never did. For a line that is no event it calls lost with
// the line number and the error, and goes on.
func eachBackward(b []byte, lost func(line int, err error), more func(ledger.Event) bool) (whole bool) {
	for b = bytes.TrimRight(b, "\n"); len(b) > 0; b = bytes.TrimRight(b, "\n") {
		line := LastLine(b)
		// Cut the line off before decoding it, so that a bad line cannot stop the loop.
		b = b[:len(b)-len(line)]
		var e ledger.Event
		if err := json.Unmarshal(line, &e); err != nil {
			lost(1+bytes.Count(b, []byte("\n")), err)
			continue
		}
		if !more(e) {
			return false
		}
	}
	return true
}

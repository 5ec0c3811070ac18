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

// HistorySpan is how far back limits and circuit breakers look: the longest
// span a CA counts over is a week.
const HistorySpan = 8 * times.Day

// HistoryCache keeps the events that were read, by file, so that a look costs
// what was told since the last one.
type HistoryCache struct {
	mu   sync.Mutex
	seed maphash.Seed
	seen map[string]cachedEvents // nil: nothing yet
	Lost []Breach                // files and lines that the last read could not read
}

type cachedEvents struct {
	length int
	text   uint64         // the hash of that much of the file
	since  time.Time      // from when on they were read
	events []ledger.Event // oldest first
	whole  bool           // the file holds no older one
	lost   []Breach
}

// ReadHistory reads the events of the ledger since a moment, oldest first.
func ReadHistory(tree fs.FS, since time.Time) ([]ledger.Event, error) {
	return (&HistoryCache{}).Read(tree, since)
}

// Read is readHistory. Lines are read from the newest back, so that it costs
// what is young and not what there is.
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
	for _, f := range slices.Backward(files) {
		b, err := fs.ReadFile(tree, f)
		if errors.Is(err, fs.ErrInvalid) {
			c.Lost = Lose(c.Lost, f, 0, err.Error())
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", f, err)
		}
		one := c.file(f, before[f], b, since)
		c.seen[f] = one
		c.Lost = append(c.Lost, one.lost[:min(len(one.lost), MostFindings-len(c.Lost))]...)
		parts = append(parts, one.events)
		if !one.whole {
			break
		}
	}
	slices.Reverse(parts)
	told := map[string]bool{} // a line that is there twice is one event
	return slices.DeleteFunc(slices.Concat(parts...), func(e ledger.Event) bool {
		twice := e.ID != "" && told[e.ID]
		told[e.ID] = true
		return twice || e.Time.Before(since)
	}), nil
}

// Unreadable is what the last read could not read.
func (c *HistoryCache) Unreadable() []Breach {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.Lost)
}

// file reads one file: of one that has grown, what is new.
func (c *HistoryCache) file(name string, was cachedEvents, b []byte, since time.Time) cachedEvents {
	now := cachedEvents{length: len(b), text: maphash.Bytes(c.seed, b), since: since}
	grown := was.length > 0 && was.length <= len(b) && !since.Before(was.since) && maphash.Bytes(c.seed, b[:was.length]) == was.text
	lines := 0
	if grown {
		lines = bytes.Count(b[:was.length], []byte("\n"))
		b, now.lost = b[was.length:], slices.Clone(was.lost)
	}
	younger, whole := eventsSince(b, since, func(line int, err error) { now.lost = Lose(now.lost, name, lines+line, err.Error()) })
	slices.Reverse(younger)
	now.events, now.whole = younger, whole
	if grown {
		old := slices.DeleteFunc(slices.Clone(was.events), func(e ledger.Event) bool { return e.Time.Before(since) })
		now.events, now.whole = append(old, younger...), was.whole && whole
	}
	return now
}

// Credible are events as they may be reckoned with: what a clock that was ahead
// dated into the future happened by now at the latest.
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
		if until := events[i].HoldUntil; until != nil {
			events[i].HoldUntil = times.Optional(until.Add(-ahead))
		}
	}
	return events
}

// eventsSince reads a file's lines from its end until one is older; whole
// tells that none was.
func eventsSince(b []byte, since time.Time, lost func(int, error)) (newestFirst []ledger.Event, whole bool) {
	whole = eachBackward(b, lost, func(e ledger.Event) bool {
		if !e.Time.Before(since) {
			newestFirst = append(newestFirst, e)
		}
		// A run tells what it did some time after it did it.
		return !e.Time.Before(since.Add(-times.Day))
	})
	return newestFirst, whole
}

// Backward hands over the ledger's events from the newest back, for as long as
// they are asked for.
func Backward(tree fs.FS, more func(ledger.Event) bool) error {
	files, err := AuditFiles(tree)
	if err != nil {
		return err
	}
	for _, f := range slices.Backward(files) {
		b, err := fs.ReadFile(tree, f)
		if errors.Is(err, fs.ErrInvalid) {
			continue // see Unreadable
		}
		if err != nil {
			return fmt.Errorf("reading %s: %w", f, err)
		}
		if !eachBackward(b, func(int, error) {}, more) {
			return nil
		}
	}
	return nil
}

// eachBackward hands over one file's events; whole tells that all were asked for.
// A line that is no event is passed over, and lost is told its number and why.
func eachBackward(b []byte, lost func(line int, err error), more func(ledger.Event) bool) (whole bool) {
	for b = bytes.TrimRight(b, "\n"); len(b) > 0; b = bytes.TrimRight(b, "\n") {
		line := LastLine(b)
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

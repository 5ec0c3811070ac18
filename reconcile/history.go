package reconcile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"time"
)

// historySpan is how far back limits and circuit breakers look: the longest
// span a CA counts over is a week.
const historySpan = 8 * day

// readHistory reads the events of the ledger since a moment, oldest first.
// Lines are read from the newest back, so that it costs what is young and not
// what there is.
func readHistory(tree fs.FS, since time.Time) ([]Event, error) {
	files, err := auditFiles(tree)
	if err != nil {
		return nil, err
	}
	var events []Event
	for _, f := range slices.Backward(files) {
		b, err := fs.ReadFile(tree, f)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", f, err)
		}
		younger, whole, err := eventsSince(b, since)
		if err != nil {
			return nil, fmt.Errorf("%s in the ledger: %w", f, err)
		}
		events = append(events, younger...)
		if !whole {
			break
		}
	}
	slices.Reverse(events)
	return events, nil
}

// credible are events as they may be reckoned with: what a clock that was ahead
// dated into the future happened by now at the latest.
func credible(events []Event, now time.Time) []Event {
	if !slices.ContainsFunc(events, func(e Event) bool { return e.Time.After(now) }) {
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
			events[i].HoldUntil = optional(until.Add(-ahead))
		}
	}
	return events
}

// eventsSince reads a file's lines from its end until one is older; whole
// tells that none was.
func eventsSince(b []byte, since time.Time) (newestFirst []Event, whole bool, err error) {
	for {
		b = bytes.TrimRight(b, "\n")
		if len(b) == 0 {
			return newestFirst, true, nil
		}
		line := lastLine(b)
		b = b[:len(b)-len(line)]
		var e Event
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, false, fmt.Errorf("reading an event: %w", err)
		}
		// A run tells what it did some time after it did it.
		if e.Time.Before(since.Add(-day)) {
			return newestFirst, false, nil
		}
		if !e.Time.Before(since) {
			newestFirst = append(newestFirst, e)
		}
	}
}

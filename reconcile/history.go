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
	var events []Event
	err := backward(tree, func(e Event) bool {
		if !e.Time.Before(since) {
			events = append(events, e)
		}
		// A run tells what it did some time after it did it.
		return !e.Time.Before(since.Add(-day))
	})
	if err != nil {
		return nil, err
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

// backward hands over the ledger's events from the newest back, for as long as
// they are asked for.
func backward(tree fs.FS, more func(Event) bool) error {
	files, err := auditFiles(tree)
	if err != nil {
		return err
	}
	for _, f := range slices.Backward(files) {
		b, err := fs.ReadFile(tree, f)
		if err != nil {
			return fmt.Errorf("reading %s: %w", f, err)
		}
		for b = bytes.TrimRight(b, "\n"); len(b) > 0; b = bytes.TrimRight(b, "\n") {
			line := lastLine(b)
			b = b[:len(b)-len(line)]
			var e Event
			if err := json.Unmarshal(line, &e); err != nil {
				return fmt.Errorf("%s in the ledger: reading an event: %w", f, err)
			}
			if !more(e) {
				return nil
			}
		}
	}
	return nil
}

package reconcile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
)

// Newest reads the newest events that the query picks, n at most, the newest
// first; more tells that there are older ones. Unlike Events it reads back only
// as far as it has to, and decodes only lines that name the certificate asked
// for.
func (q Query) Newest(tree fs.FS, n int) (events []Event, more bool, err error) {
	files, err := auditFiles(tree)
	if err != nil {
		return nil, false, err
	}
	for _, f := range slices.Backward(files) {
		b, err := fs.ReadFile(tree, f)
		if errors.Is(err, fs.ErrInvalid) {
			continue // see Unreadable
		}
		if err != nil {
			return nil, false, fmt.Errorf("reading %s: %w", f, err)
		}
		if events, more = q.newestIn(b, events, n); more {
			break
		}
	}
	// The log is in the order in which it was told.
	slices.SortStableFunc(events, func(a, b Event) int { return b.Time.Compare(a.Time) })
	return events, more, nil
}

// newestIn adds what one file has, from its end back.
func (q Query) newestIn(b []byte, events []Event, n int) (_ []Event, more bool) {
	name := q.naming()
	for b = bytes.TrimRight(b, "\n"); len(b) > 0; b = bytes.TrimRight(b, "\n") {
		line := lastLine(b)
		b = b[:len(b)-len(line)]
		if !bytes.Contains(line, name) {
			continue
		}
		var e Event
		if json.Unmarshal(line, &e) != nil {
			continue // see Unreadable
		}
		if !q.picks(&e) || e.Time.Before(q.Since) {
			continue
		}
		if len(events) == n {
			return events, true
		}
		events = append(events, e)
	}
	return events, false
}

// naming is what a line holds that names the certificate asked for; empty where
// any will do. Names of certificates are written in JSON as they are.
func (q Query) naming() []byte {
	if q.Certificate == "" {
		return nil
	}
	return []byte(`"` + q.Certificate + `"`)
}

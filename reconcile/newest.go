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
	q.former = formerOf(tree, q.Certificate)
	names := q.naming()
	for _, f := range slices.Backward(files) {
		b, err := fs.ReadFile(tree, f)
		if errors.Is(err, fs.ErrInvalid) {
			continue // see Unreadable
		}
		if err != nil {
			return nil, false, fmt.Errorf("reading %s: %w", f, err)
		}
		if events, more = q.newestIn(b, names, events, n); more {
			break
		}
	}
	// The log is in the order in which it was told.
	slices.SortStableFunc(events, func(a, b Event) int { return b.Time.Compare(a.Time) })
	return events, more, nil
}

// newestIn adds what one file has, from its end back.
func (q Query) newestIn(b []byte, names [][]byte, events []Event, n int) (_ []Event, more bool) {
	for b = bytes.TrimRight(b, "\n"); len(b) > 0; b = bytes.TrimRight(b, "\n") {
		line := lastLine(b)
		b = b[:len(b)-len(line)]
		if len(names) > 0 && !slices.ContainsFunc(names, func(name []byte) bool { return bytes.Contains(line, name) }) {
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

// naming are what a line holds that names the certificate asked for; none where any line
// will do. Names of certificates are written in JSON as they are.
func (q Query) naming() [][]byte {
	if q.Certificate == "" {
		return nil
	}
	names := [][]byte{[]byte(`"` + q.Certificate + `"`)}
	for _, f := range q.former {
		names = append(names, []byte(`"`+f.Name+`"`))
	}
	return names
}

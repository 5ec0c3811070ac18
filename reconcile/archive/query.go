package archive

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"slices"
	"strings"
	"time"

	"certroll/reconcile/ledger"
	"certroll/spec"
)

// Newest returns the newest n events that match the query, the newest first; more reports
// that older ones match. Unlike Events it reads backward only as far as necessary, and
// decodes only lines that contain the certificate's name.
func (q Query) Newest(tree fs.FS, n int) (events []ledger.Event, more bool, err error) {
	q.former = formerOf(tree, q.Certificate)
	// Most lines are about other certificates: a search for the name is cheaper than
	// decoding them.
	names := q.naming()
	err = filesBackward(tree, func(_ string, b []byte) bool {
		events, more = q.newestIn(b, names, events, n)
		return !more
	})
	if err != nil {
		return nil, false, err
	}
	// A run may record an event later than it happened, so the log is not sorted by time.
	slices.SortStableFunc(events, func(a, b ledger.Event) int { return b.Time.Compare(a.Time) })
	return events, more, nil
}

// newestIn adds the matching events of one file, from its end backward.
func (q Query) newestIn(b []byte, names [][]byte, events []ledger.Event, n int) (_ []ledger.Event, more bool) {
	for b = bytes.TrimRight(b, "\n"); len(b) > 0; b = bytes.TrimRight(b, "\n") {
		line := LastLine(b)
		b = b[:len(b)-len(line)]
		if len(names) > 0 && !slices.ContainsFunc(names, func(name []byte) bool { return bytes.Contains(line, name) }) {
			continue
		}
		var e ledger.Event
		if json.Unmarshal(line, &e) != nil {
			continue // reported by Unreadable
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

// naming returns the byte strings of which a line about the certificate contains one; nil
// matches every line. JSON needs no escapes for names of certificates.
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

// Query selects events of the audit log. Empty fields match every event.
type Query struct {
	Operation   ledger.Kind
	Status      ledger.Status // StatusError matches failure and denied
	Certificate string
	Issuer      string // with or without "issuer."
	Class       ledger.Class
	Severity    string
	Since       time.Time

	former []ledger.Former // former names of Certificate
}

// Events returns the events of a ledger's tree that match the query, the newest last. The
// log has them in the order of recording, which differs from their times if a run could not
// reach the ledger at once.
func (q Query) Events(tree fs.FS) ([]ledger.Event, error) {
	all, err := ReadHistory(tree, q.Since)
	if err != nil {
		return nil, err
	}
	q.former = formerOf(tree, q.Certificate)
	events := slices.DeleteFunc(all, func(e ledger.Event) bool { return !q.picks(&e) })
	slices.SortStableFunc(events, func(a, b ledger.Event) int { return a.Time.Compare(b.Time) })
	return events, nil
}

func (q Query) picks(e *ledger.Event) bool {
	is := func(wanted, is string) bool { return wanted == "" || wanted == is }
	return is(string(q.Operation), string(e.Operation)) && q.ofStatus(e.Status) && q.ofCertificate(e) &&
		is(strings.TrimPrefix(q.Issuer, "issuer."), e.Issuer) && is(string(q.Class), string(e.Class)) && is(q.Severity, e.Severity)
}

// ofCertificate also matches events under a former name.
func (q Query) ofCertificate(e *ledger.Event) bool {
	return q.Certificate == "" || q.Certificate == e.Certificate ||
		slices.ContainsFunc(q.former, func(f ledger.Former) bool { return f.Tells(e) })
}

func (q Query) ofStatus(s ledger.Status) bool {
	if q.Status == ledger.StatusError {
		return s == ledger.Failed || s == ledger.Denied
	}
	return q.Status == "" || q.Status == s
}

// formerOf returns the former names of a certificate, from its record in a ledger's tree.
func formerOf(tree fs.FS, name string) []ledger.Former {
	if !spec.IsCertificateName(name) {
		return nil
	}
	b, err := fs.ReadFile(tree, ledger.RecordFile(name))
	if err != nil {
		return nil // no record, or a damaged one, which ReadRecords reports
	}
	r, err := ledger.UnmarshalRecord(b)
	if err != nil {
		return nil
	}
	return r.Formerly
}

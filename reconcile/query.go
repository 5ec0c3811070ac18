package reconcile

import (
	"io/fs"
	"slices"
	"strings"
	"time"
)

// Query picks events of the audit log; what is empty picks all.
type Query struct {
	Operation   Kind
	Status      Status // "error" stands for failure and denied
	Certificate string
	Issuer      string // also as "issuer.NAME"
	Class       Class
	Severity    string
	Since       time.Time

	former []Former // the names that the certificate had
}

// Events reads the events that the query picks out of a ledger's tree, the
// newest last. The log is in the order in which it was told, which differs
// where a run could not reach the ledger at once.
func (q Query) Events(tree fs.FS) ([]Event, error) {
	all, err := readHistory(tree, q.Since)
	if err != nil {
		return nil, err
	}
	q.former = formerOf(tree, q.Certificate)
	events := slices.DeleteFunc(all, func(e Event) bool { return !q.picks(&e) })
	slices.SortStableFunc(events, func(a, b Event) int { return a.Time.Compare(b.Time) })
	return events, nil
}

func (q Query) picks(e *Event) bool {
	is := func(wanted, is string) bool { return wanted == "" || wanted == is }
	return is(string(q.Operation), string(e.Operation)) && q.ofStatus(e.Status) && q.ofCertificate(e) &&
		is(strings.TrimPrefix(q.Issuer, "issuer."), e.Issuer) && is(string(q.Class), string(e.Class)) && is(q.Severity, e.Severity)
}

// ofCertificate takes what happened to it under a former name for its own.
func (q Query) ofCertificate(e *Event) bool {
	return q.Certificate == "" || q.Certificate == e.Certificate ||
		slices.ContainsFunc(q.former, func(f Former) bool { return f.Tells(e) })
}

func (q Query) ofStatus(s Status) bool {
	if q.Status == StatusError {
		return s == Failed || s == Denied
	}
	return q.Status == "" || q.Status == s
}

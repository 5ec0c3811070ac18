package monitor

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"certroll/reconcile/ledger"
)

// ProbeEntries returns the entries that update the known problems to the results. An
// endpoint without a result keeps its problem. An endpoint has one problem at a time: if
// it changes, the new one is reported, and the end of the last one closes them all.
func ProbeEntries(known *ledger.Problems, looks map[ledger.Endpoint]*Result, rev ledger.Revision, now time.Time) []ledger.Entry {
	now = now.UTC().Truncate(time.Second)
	var entries []ledger.Entry
	tell := func(p ledger.Problem, status ledger.Status, detail string) {
		entries = append(entries, ledger.Entry{Event: p.ProbeEvent(status, detail, rev, now), Problems: known})
	}
	for _, s := range slices.SortedFunc(maps.Keys(looks), ledger.Endpoint.Compare) {
		l := looks[s]
		if l == nil || !l.Verdict.Problem() {
			continue
		}
		p := ledger.Problem{Operation: ledger.KindProbe, Since: now, Finding: ledger.Finding{
			Severity: ledger.SeverityError, Class: l.Verdict.Class(), About: s.Endpoint, Message: l.Message, Advice: l.Advice,
			Certificates: []string{s.Certificate}, Names: []string{},
		}}
		i := known.At(s)
		// The same problem as before: no new event.
		if i >= 0 && known.Problems[i].Class == p.Class {
			continue
		}
		if i >= 0 {
			known = known.Without(i, now)
		}
		known = known.With(p, now)
		tell(p, ledger.Failed, p.Advice)
	}
	for _, p := range known.Served("") {
		l, watched := looks[p.Endpoint()]
		if watched && !isGoneBy(p, l) {
			continue
		}
		known = known.Without(known.At(p.Endpoint()), now)
		detail := p.About + " is no longer probed"
		if watched {
			detail = fmt.Sprintf("the problem of %s, found on %s, is gone: it serves serial %s", p.About, p.Since.Format(time.DateOnly), l.Serial)
		}
		tell(p, ledger.Success, detail)
	}
	return entries
}

// isGoneBy reports whether a result ends a problem. VerdictWaiting proves only that the
// endpoint answers, so that it ends just the problems about reaching the endpoint.
func isGoneBy(p ledger.Problem, l *Result) bool {
	switch {
	case l == nil:
		return false
	case l.Verdict == VerdictWaiting:
		return p.Class == ledger.ClassUnreachable || p.Class == ledger.ClassDenied
	default:
		return l.Verdict == VerdictCurrent
	}
}

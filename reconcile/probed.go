package reconcile

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// probeEntries are the entries that lead from the known problems to those that
// were seen. Of an endpoint that is watched and was not looked at yet, what is
// known stands. One endpoint has one problem at a time: where it becomes
// another, that is told as such, and what is gone in the end is the last.
func probeEntries(known *Problems, looks map[spot]*Look, rev Revision, now time.Time) []entry {
	now = now.UTC().Truncate(time.Second)
	var entries []entry
	tell := func(p Problem, status Status, detail string) {
		entries = append(entries, entry{Event: p.probeEvent(status, detail, rev, now), Problems: known})
	}
	for _, s := range slices.SortedFunc(maps.Keys(looks), spot.compare) {
		l := looks[s]
		if l == nil || !l.Verdict.Problem() {
			continue
		}
		p := Problem{Operation: KindProbe, Since: now, Finding: Finding{
			Severity: SeverityError, Class: l.Verdict.class(), About: s.endpoint, Message: l.Message, Advice: l.Advice,
			Certificates: []string{s.certificate}, Names: []string{},
		}}
		i := known.at(s)
		if i >= 0 && known.Problems[i].Class == p.Class {
			continue
		}
		if i >= 0 {
			known = known.without(i, now)
		}
		known = known.with(p, now)
		tell(p, Failed, p.Advice)
	}
	for _, p := range known.Served("") {
		l, watched := looks[p.spot()]
		if watched && !isGoneBy(p, l) {
			continue
		}
		known = known.without(known.at(p.spot()), now)
		detail := p.About + " is not looked at any more"
		if watched {
			detail = fmt.Sprintf("what was found at %s on %s is gone: it serves serial %s", p.About, p.Since.Format(time.DateOnly), l.Serial)
		}
		tell(p, Success, detail)
	}
	return entries
}

// isGoneBy tells whether a look shows that the problem is gone. That something is
// waited for ends no problem but that nobody answered.
func isGoneBy(p Problem, l *Look) bool {
	switch {
	case l == nil:
		return false
	case l.Verdict == ServesWaiting:
		return p.Class == ClassUnreachable || p.Class == ClassDenied
	default:
		return l.Verdict == ServesCurrent
	}
}

// probeEvent tells of the problem. Its id derives from what was found, where,
// and when it came.
func (p Problem) probeEvent(status Status, detail string, rev Revision, now time.Time) Event {
	e := Event{
		Schema: EventSchema, Time: now, Operation: KindProbe, Certificate: p.Certificates[0], Status: status, Reason: ReasonProbed, Detail: detail,
		Actor: "schedule", Cause: "schedule", Revision: rev.Commit, Class: p.Class, Message: p.Message, Endpoint: p.About,
	}
	if p.Class == ClassExpired && status == Failed {
		e.Severity = SeverityPage
	}
	if status == Success {
		e.Reason, e.Message = ReasonGone, ""
	}
	e.ID = eventID("probe", string(e.Reason), e.Certificate, p.About, string(p.Class), p.Since.Format(time.RFC3339))
	return e
}

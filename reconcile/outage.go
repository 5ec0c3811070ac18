package reconcile

import (
	"slices"
	"strings"
	"time"

	"certroll/reconcile/attempt"
	"certroll/reconcile/failure"
	"certroll/reconcile/ledger"
	"certroll/reconcile/recorder"
)

// tellAfter is how many passes in a row must fail before an outage gets an event. Shorter
// outages are only logged.
const tellAfter = 3

// Outage is a current outage of a side.
type Outage struct {
	Side  string // "config_repo", "ledger", "vault" or "state_dir"
	Since time.Time
}

// Sides are the IDs of all sides that can have an outage.
var Sides = []string{recorder.SideRepo.ID(), recorder.SideLedger.ID(), recorder.SideLooked.ID(), recorder.SideDisk.ID()}

// noteGit records whether a side in Git worked. It ignores errors of other classes.
func (l *Loop) noteGit(with recorder.Side, err error) {
	switch {
	case err == nil:
		l.noteEnd(with)
	case l.r.Writer.Unwritten.Err() != nil && with == recorder.SideLedger:
		return // noteDisk handles it: the journal's errors have Git's class
	case failure.ClassOf(err) == ledger.ClassGit:
		l.noteOutage(with, err)
	}
}

// noteOutage counts a failed pass, and writes the event once the outage lasts.
func (l *Loop) noteOutage(with recorder.Side, err error) (recorded bool) {
	o := l.outages[with]
	if o == nil {
		o = &recorder.Outage{Since: l.now()}
		l.outages[with] = o
	}
	o.Passes++
	if !o.Recorded { // the end is reported under the same class
		o.Class, o.Message = failure.ClassOf(err), failure.Message(err)
	}
	if o.Passes < tellAfter || o.Recorded {
		return false
	}
	lasts, _ := with.Words()
	o.Recorded = l.tellOutage(with, o, ledger.Failed, lasts+" since "+o.Since.UTC().Format(time.RFC3339)+"; it is tried again with each pass")
	return o.Recorded
}

// noteEnd ends an outage, and writes the event if its start has one.
func (l *Loop) noteEnd(with recorder.Side) {
	o := l.outages[with]
	delete(l.outages, with)
	if o == nil || !o.Recorded {
		return
	}
	// An Apply may have recorded the end already.
	if last := l.lastRecorded(with); last.Status != ledger.Success || last.Time.Before(o.Since) {
		_, over := with.Words()
		l.tellOutage(with, o, ledger.Success, over+" since "+o.Since.UTC().Format(time.RFC3339))
	}
}

// lastRecorded returns the last observed event about a side.
func (l *Loop) lastRecorded(with recorder.Side) ledger.Event {
	if l.Planned.Observed == nil {
		return ledger.Event{}
	}
	return recorder.LastOutage(l.Planned.Observed.History, with)
}

// tellOutage writes the event of an outage or of its end. It returns whether that worked.
func (l *Loop) tellOutage(with recorder.Side, o *recorder.Outage, status ledger.Status, detail string) bool {
	return l.r.TellOutage(recorder.OutageEvent(with, o, status, detail, l.rev.Commit, l.now())) == nil
}

// adoptAbsence turns an absence of Vault in the middle of a pass into an outage. The
// absence has an event already.
func (l *Loop) adoptAbsence() *attempt.AwayError {
	away := l.r.Absence.Current()
	if away == nil {
		return nil
	}
	o := l.outages[recorder.SideLooked]
	if o == nil {
		o = &recorder.Outage{Since: away.Since}
		l.outages[recorder.SideLooked] = o
	}
	if !o.Recorded {
		o.Class, o.Message, o.Recorded = ledger.ClassVault, failure.Message(away.Err), true
	}
	return away
}

// adoptOutages continues the open outages of earlier processes: the first process that
// sees the end records it.
func (l *Loop) adoptOutages() {
	for _, with := range []recorder.Side{recorder.SideRepo, recorder.SideLedger, recorder.SideLooked, recorder.SideDisk} {
		last := recorder.LastOutage(l.Planned.Observed.History, with)
		if last.Status != ledger.Failed {
			continue
		}
		if l.outages[with] == nil {
			l.outages[with] = &recorder.Outage{Since: last.Time}
		}
		o := l.outages[with]
		o.Class, o.Message, o.Recorded = last.Class, last.Message, true
	}
}

// away returns the current outages, sorted by side.
func (l *Loop) away() []Outage {
	var list []Outage
	for with, o := range l.outages {
		list = append(list, Outage{with.ID(), o.Since})
	}
	slices.SortFunc(list, func(a, b Outage) int { return strings.Compare(a.Side, b.Side) })
	return list
}

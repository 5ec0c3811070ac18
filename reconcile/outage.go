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

// tellAfter is how many passes in a row have to fail in the same way until it
// is an event: one that passes within minutes is in the log alone.
const tellAfter = 3

// Outage is a side that passes in a row could not do their work with.
type Outage struct {
	Side  string // "config_repo", "ledger", "vault" or "state_dir"
	Since time.Time
}

// Sides are all that an outage may be of.
var Sides = []string{recorder.SideRepo.ID(), recorder.SideLedger.ID(), recorder.SideLooked.ID(), recorder.SideDisk.ID()}

// noteGit notes how it went with a side that is in Git, as far as err speaks of
// it.
func (l *Loop) noteGit(with recorder.Side, err error) {
	switch {
	case err == nil:
		l.noteEnd(with)
	case l.r.Writer.Unwritten.Err() != nil && with == recorder.SideLedger:
		return // see noteDisk: its own errors are of the class of Git's
	case failure.ClassOf(err) == ledger.ClassGit:
		l.noteOutage(with, err)
	}
}

// noteOutage counts a failed pass, and tells of it once it lasts: the journal
// has it then.
func (l *Loop) noteOutage(with recorder.Side, err error) (told bool) {
	o := l.outages[with]
	if o == nil {
		o = &recorder.Outage{Since: l.now()}
		l.outages[with] = o
	}
	o.Passes++
	if !o.Told { // its end is told under the same class
		o.Class, o.Message = failure.ClassOf(err), failure.Message(err)
	}
	if o.Passes < tellAfter || o.Told {
		return false
	}
	lasts, _ := with.Words()
	o.Told = l.tellOutage(with, o, ledger.Failed, lasts+" since "+o.Since.UTC().Format(time.RFC3339)+"; it is tried again with each pass")
	return o.Told
}

// noteEnd tells that a told outage is over.
func (l *Loop) noteEnd(with recorder.Side) {
	o := l.outages[with]
	delete(l.outages, with)
	if o == nil || !o.Told {
		return
	}
	// An apply may have been the first to see that it is over.
	if last := l.lastTold(with); last.Status != ledger.Success || last.Time.Before(o.Since) {
		_, over := with.Words()
		l.tellOutage(with, o, ledger.Success, over+" since "+o.Since.UTC().Format(time.RFC3339))
	}
}

// lastTold is the last event about a side that was seen.
func (l *Loop) lastTold(with recorder.Side) ledger.Event {
	if l.seen == nil {
		return ledger.Event{}
	}
	return recorder.LastOutage(l.seen.History, with)
}

// tellOutage tells of an outage, or of its end.
func (l *Loop) tellOutage(with recorder.Side, o *recorder.Outage, status ledger.Status, detail string) bool {
	return l.r.TellOutage(recorder.OutageEvent(with, o, status, detail, l.rev.Commit, l.now())) == nil
}

// takeUpAbsence makes an outage of a Vault that went away in the middle of a pass,
// which is told already.
func (l *Loop) takeUpAbsence() *attempt.AwayError {
	away := l.r.Absence.Current()
	if away == nil {
		return nil
	}
	o := l.outages[recorder.SideLooked]
	if o == nil {
		o = &recorder.Outage{Since: away.Since}
		l.outages[recorder.SideLooked] = o
	}
	if !o.Told {
		o.Class, o.Message, o.Told = ledger.ClassVault, failure.Message(away.Err), true
	}
	return away
}

// takeUpOutages takes up the outages that a process before this one has told of:
// that they are over is told by whoever sees it first.
func (l *Loop) takeUpOutages() {
	for _, with := range []recorder.Side{recorder.SideRepo, recorder.SideLedger, recorder.SideLooked, recorder.SideDisk} {
		last := recorder.LastOutage(l.seen.History, with)
		if last.Status != ledger.Failed {
			continue
		}
		if l.outages[with] == nil {
			l.outages[with] = &recorder.Outage{Since: last.Time}
		}
		o := l.outages[with]
		o.Class, o.Message, o.Told = last.Class, last.Message, true
	}
}

// away are the outages that last, by side.
func (l *Loop) away() []Outage {
	var list []Outage
	for with, o := range l.outages {
		list = append(list, Outage{with.ID(), o.Since})
	}
	slices.SortFunc(list, func(a, b Outage) int { return strings.Compare(a.Side, b.Side) })
	return list
}

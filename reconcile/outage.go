package reconcile

import (
	"slices"
	"strings"
	"time"
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
var Sides = []string{sideRepo.id(), sideLedger.id(), sideLooked.id(), sideDisk.id()}

// side is one that a pass cannot do without. The config repo and the ledger may
// be on different hosts: one that answers says nothing of the other.
type side string

const (
	sideRepo   side = "the config repo"
	sideLedger side = "the ledger"
	sideLooked side = "Vault" // or the ledger, where it was never seen yet
)

// id is its name for machines.
func (s side) id() string {
	switch s {
	case sideRepo:
		return "config_repo"
	case sideLedger:
		return "ledger"
	case sideDisk:
		return "state_dir"
	default:
		return "vault"
	}
}

// outage is a run of passes that failed because of one of the other sides.
type outage struct {
	class   Class
	passes  int
	since   time.Time
	message string
	told    bool
}

// noteGit notes how it went with a side that is in Git, as far as err speaks of
// it.
func (l *Loop) noteGit(with side, err error) {
	switch {
	case err == nil:
		l.noteEnd(with)
	case l.r.scribe.unwritten.trouble() != nil && with == sideLedger:
		return // see noteDisk: its own errors are of the class of Git's
	case classOf(err) == ClassGit:
		l.noteOutage(with, err)
	}
}

// noteOutage counts a failed pass, and tells of it once it lasts: the journal
// has it then.
func (l *Loop) noteOutage(with side, err error) (told bool) {
	o := l.outages[with]
	if o == nil {
		o = &outage{since: l.now()}
		l.outages[with] = o
	}
	o.passes++
	if !o.told { // its end is told under the same class
		o.class, o.message = classOf(err), message(err)
	}
	if o.passes < tellAfter || o.told {
		return false
	}
	lasts, _ := with.words()
	o.told = l.tellOutage(with, o, Failed, lasts+" since "+o.since.UTC().Format(time.RFC3339)+"; it is tried again with each pass")
	return o.told
}

// noteEnd tells that a told outage is over.
func (l *Loop) noteEnd(with side) {
	o := l.outages[with]
	delete(l.outages, with)
	if o == nil || !o.told {
		return
	}
	// An apply may have been the first to see that it is over.
	if last := l.lastTold(with); last.Status != Success || last.Time.Before(o.since) {
		_, over := with.words()
		l.tellOutage(with, o, Success, over+" since "+o.since.UTC().Format(time.RFC3339))
	}
}

// lastTold is the last event about a side that was seen.
func (l *Loop) lastTold(with side) Event {
	if l.seen == nil {
		return Event{}
	}
	return lastOutage(l.seen.History, with)
}

// tellOutage tells of an outage, or of its end.
func (l *Loop) tellOutage(with side, o *outage, status Status, detail string) bool {
	return l.r.tellOutage(outageEvent(with, o, status, detail, l.rev.Commit, l.now())) == nil
}

func outageEvent(with side, o *outage, status Status, detail, revision string, now time.Time) Event {
	now = now.UTC()
	e := Event{
		Schema: EventSchema, Time: now.Truncate(time.Millisecond), Operation: KindPass, Status: status, Reason: ReasonUnreachable,
		Subject: with.id(), Detail: detail, Actor: "schedule", Cause: "schedule", Revision: revision, Class: o.class, Message: o.message,
	}
	e.ID = eventID("outage", string(with), string(status), o.since.UTC().Format(time.RFC3339))
	return e
}

// takeUpAbsence makes an outage of a Vault that went away in the middle of a pass,
// which is told already.
func (l *Loop) takeUpAbsence() *AwayError {
	away := l.r.absence.current()
	if away == nil {
		return nil
	}
	o := l.outages[sideLooked]
	if o == nil {
		o = &outage{since: away.since}
		l.outages[sideLooked] = o
	}
	if !o.told {
		o.class, o.message, o.told = ClassVault, message(away.err), true
	}
	return away
}

// takeUpOutages takes up the outages that a process before this one has told of:
// that they are over is told by whoever sees it first.
func (l *Loop) takeUpOutages() {
	for _, with := range []side{sideRepo, sideLedger, sideLooked, sideDisk} {
		last := lastOutage(l.seen.History, with)
		if last.Status != Failed {
			continue
		}
		if l.outages[with] == nil {
			l.outages[with] = &outage{since: last.Time}
		}
		o := l.outages[with]
		o.class, o.message, o.told = last.Class, last.Message, true
	}
}

// away are the outages that last, by side.
func (l *Loop) away() []Outage {
	var list []Outage
	for with, o := range l.outages {
		list = append(list, Outage{with.id(), o.since})
	}
	slices.SortFunc(list, func(a, b Outage) int { return strings.Compare(a.Side, b.Side) })
	return list
}

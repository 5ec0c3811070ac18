package reconcile

import "time"

// KindPass is the operation of an event about a pass as a whole: Git or Vault
// cannot be reached, or can be again. No action is of this kind.
const KindPass Kind = "pass"

// tellAfter is how many passes in a row have to fail in the same way until it
// is an event: one that passes within minutes is in the log alone.
const tellAfter = 3

// outage is a run of passes that failed because of one of the other sides.
type outage struct {
	passes  int
	since   time.Time
	message string
	told    bool
}

// noteGit notes how it went with Git, as far as err speaks of it.
func (l *Loop) noteGit(err error) {
	switch {
	case err == nil:
		l.noteEnd(ClassGit)
	case classOf(err) == ClassGit:
		l.noteOutage(ClassGit, err)
	}
}

// noteOutage counts a failed pass, and tells of it once it lasts.
func (l *Loop) noteOutage(class Class, err error) {
	o := l.outages[class]
	if o == nil {
		o = &outage{since: l.now()}
		l.outages[class] = o
	}
	o.passes++
	o.message = message(err)
	if o.passes < tellAfter || o.told {
		return
	}
	o.told = l.tellOutage(class, o, Failed, "nothing can be done with it since "+o.since.UTC().Format(time.RFC3339)+"; it is tried again with each pass")
}

// noteEnd tells that a told outage is over.
func (l *Loop) noteEnd(class Class) {
	o := l.outages[class]
	delete(l.outages, class)
	if o != nil && o.told {
		l.tellOutage(class, o, Success, "it can be reached again; it could not since "+o.since.UTC().Format(time.RFC3339))
	}
}

// tellOutage puts the event into the journal, from where it goes to the ledger
// as soon as Git takes it.
func (l *Loop) tellOutage(class Class, o *outage, status Status, detail string) bool {
	now := l.now().UTC()
	e := Event{
		Schema: EventSchema, Time: now.Truncate(time.Millisecond), Operation: KindPass, Status: status, Reason: ReasonUnreachable,
		Detail: detail, Actor: "schedule", Cause: "schedule", Revision: l.rev.Commit, Class: class, Message: o.message,
	}
	e.ID = eventID("outage", string(class), string(status), o.since.UTC().Format(time.RFC3339))
	return l.r.scribe.note(entry{Event: e}) == nil
}

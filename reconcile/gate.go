package reconcile

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"certroll/spec"

	"certroll/spec/text"
)

// slowStart is how many certificates try an issuer or a DNS account at once
// until one has succeeded with it: no more than it takes to see that it fails.
const slowStart = breakAfter

// gate is the circuit breaker within a pass, as admit is between passes. Both
// read one and the same model, the troubles of the history: the gate begins
// with those that the plan was made of, and adds each event as it comes. What
// the plan has let go as a probe may try a subject that is open, once.
//
//	proven:   one certificate has succeeded   everybody in
//	unproven: nobody has yet                  slowStart at once, the others wait
//	open:     failed for breakAfter           nobody in but the probe of the plan
//
// The first one to ask an issuer goes alone until the CA has said that the
// account is in order: a dead account is one failure and not three.
//
// A certificate waits only for a subject that somebody is inside of, it enters
// all that it needs at once or nothing, and whoever is inside leaves when its
// attempt ends, which has a deadline of its own. So no wait is for nobody. It waits
// in the crew's queue, which asks again whenever somebody has left.
//
// Passes that overlap share the gate: what one of them finds out holds for all.
type gate struct {
	now  func() time.Time
	asks bool // the CA can be asked whether an account is in order

	mu     sync.Mutex
	passes int // under way
	left   int // counts those who left
	doors  map[subject]*door
	found  map[subject]*trouble
	recent []Event // of the passes under way, that no plan knew of yet
	zoned  *zoned  // by the spec of the pass that began last
}

// door is one subject, while passes are under way.
type door struct {
	inside   map[string]int // by the issuer that they ask
	proven   bool
	failedAt int  // the gate's count when somebody failed last, zero: nobody has
	usable   bool // an issuer's: its account is in order
}

func newGate(now func() time.Time) *gate {
	return &gate{now: now, doors: map[subject]*door{}}
}

// gatePass is one pass's way through the gate.
type gatePass struct {
	*gate
	since int                  // the gate's count when its plan was made
	kept  map[subject][]string // certificates that were not let in
}

// begin opens the gate to a pass. obs is what its plan was made of, with all
// that the journal holds. end has to be called when the pass is over.
func (g *gate) begin(desired *spec.Spec, obs *Observed) *gatePass {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.passes++
	g.zoned = zonedBy(desired)
	g.found = known(desired, obs, credible(obs.History, g.now()))
	seen := make(map[string]bool, len(g.recent))
	for _, e := range obs.History {
		seen[e.ID] = true
	}
	g.recent = slices.DeleteFunc(g.recent, func(e Event) bool { return seen[e.ID] })
	for _, e := range g.recent { // noted after the plan was made
		addTrouble(g.found, g.zoned.fair(e))
	}
	return &gatePass{gate: g, since: g.left, kept: map[subject][]string{}}
}

// end closes the pass. After the last one the history holds all that is known.
func (p *gatePass) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.passes--; p.passes == 0 {
		p.doors, p.recent = map[subject]*door{}, nil
	}
}

func (g *gate) door(s subject) *door {
	d := g.doors[s]
	if d == nil {
		d = &door{inside: map[string]int{}}
		g.doors[s] = d
	}
	return d
}

// try lets the action in where it may be tried and room is free besides, and has
// the caller say by leave how it went. The DNS accounts that are known not to work
// are marked to be avoided. It is endHeld where the issuer, or every account,
// fails for many, and endWaits where somebody inside has to leave first; leave is
// nil then.
func (p *gatePass) try(a *Action, room func() bool) (leave func(Event), in end) {
	p.mu.Lock()
	defer p.mu.Unlock()
	shut, full := p.look(a)
	switch {
	case shut != "":
		p.kept[shut] = append(p.kept[shut], a.Certificate)
		return nil, endHeld
	case full || !room():
		return nil, endWaits
	}
	entered := subjectsOf(a)
	for _, s := range entered {
		p.door(s).inside[a.Issuer.Name]++
	}
	return func(e Event) { p.leave(entered, a.Issuer.Name, e) }, endDone
}

// look says what keeps the action out for good, or whether it has to wait.
func (p *gatePass) look(a *Action) (shut subject, full bool) {
	for _, s := range askedSubjects(a) {
		if p.shuts(s, a) {
			return s, false
		}
	}
	var avoid []string
	for _, name := range a.serving() {
		if p.shuts(accountSubject(name), a) {
			avoid = append(avoid, name)
		}
	}
	if way := a.shutWay(avoid); way != nil {
		return accountSubject(way[0]), false
	}
	a.Avoid = avoid
	return "", slices.ContainsFunc(subjectsOf(a), func(s subject) bool { return p.full(s, a.Issuer.Name) })
}

// shuts tells whether a subject keeps the action out. The probe that the plan
// has let go is, once somebody has failed there after the plan was made.
func (p *gatePass) shuts(s subject, a *Action) bool {
	return holdsAction(p.found[s], a) && (!slices.Contains(a.Probes, s) || p.door(s).failedAt > p.since)
}

// full tells whether enough are inside of a subject that nobody has succeeded
// with yet. Nobody waits where nobody is inside.
//
// Of those inside of a DNS account the ones that came with the same issuer count:
// who is at another CA may stand there for hours, and not for the account's sake.
func (g *gate) full(s subject, issuer string) bool {
	d := g.door(s)
	inside := d.inside[issuer]
	if _, isDNS := s.account(); g.asks && !isDNS && !d.usable && inside > 0 {
		return true
	}
	return !d.proven && inside > 0 && inside+g.found[s].count() >= slowStart
}

// accountUsable notes that the CA has said of an issuer's account that it is in
// order.
func (g *gate) accountUsable(issuer string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.door(issuerSubject(issuer)).usable = true
}

// isUsable tells whether the CA has said so while passes are under way.
func (g *gate) isUsable(issuer string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.door(issuerSubject(issuer)).usable
}

// subjectsOf are the issuer and the DNS accounts that an action tries first: one,
// unless its names lie in zones of several.
func subjectsOf(a *Action) []subject {
	list := []subject{issuerSubject(a.Issuer.Name)}
	for _, name := range a.firstTried() {
		list = append(list, accountSubject(name))
	}
	return list
}

// leave notes how it went for one that entered by some subjects.
func (g *gate) leave(entered []subject, issuer string, e Event) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.left++
	fair := g.zoned.fair(e)
	for _, s := range entered {
		g.door(s).inside[issuer]--
	}
	for s := range troubles([]Event{fair}) {
		d := g.door(s)
		d.proven, d.failedAt = false, g.left
	}
	addTrouble(g.found, fair)
	if e.ID != "" {
		g.recent = append(g.recent, e)
	}
	if e.Status == Success && e.Operation.Orders() {
		for _, s := range worked(e) {
			if g.found[s] == nil {
				g.door(s).proven = true
			}
		}
	}
}

// heldEvents tell of the subjects that were shut while certificates still
// wanted in: one event each, however many those are.
func (p *gatePass) heldEvents() []Event {
	p.mu.Lock()
	defer p.mu.Unlock()
	var events []Event
	for s, kept := range p.kept {
		t := p.found[s]
		if t == nil {
			continue // another certificate has succeeded since
		}
		detail := fmt.Sprintf("%s failed for %d certificates in a row; %d more were not tried, one at a time tries it again", s, t.count(), len(kept))
		e := heldEvent(p.now(), s, ReasonBreaker, detail, t.class, t.message)
		e.concerns(slices.Sorted(slices.Values(kept)))
		events = append(events, e)
	}
	return events
}

// heldEvent tells that something holds many certificates. Its id is the same
// all day: it is told once.
func heldEvent(now time.Time, s subject, why Reason, detail string, class Class, message string) Event {
	now = now.UTC()
	return Event{
		Schema: EventSchema, ID: eventID("held", string(s), string(why), now.Format(time.DateOnly)), Time: now.Truncate(time.Millisecond),
		Operation: KindHold, Status: Held, Subject: string(s), Reason: why, Detail: detail, Actor: "schedule", Cause: "schedule", Class: class, Message: message,
	}
}

// heldTogether are the events of what a plan holds for a reason that is not
// one certificate's own.
func heldTogether(actions []Action, now time.Time) []Event {
	type group struct {
		first *Action
		names []string
		last  time.Time
	}
	groups := map[subject]*group{}
	var order []subject
	for i, a := range actions {
		if a.Kind != KindHold || a.HeldBy == "" || a.Reason == ReasonNewRule || a.Reason == ReasonMass || a.Reason == ReasonNotRead {
			continue
		}
		g := groups[a.HeldBy]
		if g == nil {
			g = &group{first: &actions[i]}
			groups[a.HeldBy] = g
			order = append(order, a.HeldBy)
		}
		g.names, g.last = append(g.names, a.Certificate), later(g.last, a.NotBefore)
	}
	var events []Event
	for _, s := range order {
		g := groups[s]
		if s == unreadableSubject {
			events = append(events, unreadableEvent(now, g.names, g.first.Detail))
			continue
		}
		waiting := text.Counted(len(g.names), "certificate") + " wait"
		if len(g.names) == 1 {
			waiting += "s"
		}
		detail := fmt.Sprintf("%s, the last until %s: %s", waiting, g.last.UTC().Format(time.RFC3339), g.first.Detail)
		e := heldEvent(now, s, g.first.Reason, detail, "", "")
		e.concerns(g.names)
		events = append(events, e)
	}
	return events
}

// unreadableEvent tells of certificates that nothing can be done with, once a
// day and whenever they are others.
func unreadableEvent(now time.Time, names []string, message string) Event {
	detail := "what " + text.Some(names, 3) + " has in Vault cannot be looked at, so nothing is done with it"
	e := heldEvent(now, subject(string(unreadableSubject)+" "+namesDigest(names)), ReasonUnreadable, detail, ClassVault, message)
	e.Subject = string(unreadableSubject)
	e.concerns(names)
	return e
}

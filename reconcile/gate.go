package reconcile

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// slowStart is how many certificates try an issuer or a DNS account at once
// until one has succeeded with it: no more than it takes to see that it fails.
const slowStart = breakAfter

// gate is the circuit breaker within one Apply, as admit is between them.
//
//	proven:   one certificate has succeeded   everybody in
//	unproven: nobody has yet                  slowStart at once, the others wait
//	open:     breakAfter in a row have failed nobody in any more
type gate struct {
	mu      sync.Mutex
	changed chan struct{} // closed and made anew whenever somebody leaves
	doors   map[subject]*door
	now     func() time.Time
}

type door struct {
	inside int
	proven bool
	failed trouble
	kept   []string // certificates that were not let in
}

func newGate(now func() time.Time) *gate {
	return &gate{changed: make(chan struct{}), doors: map[subject]*door{}, now: now}
}

func (g *gate) door(s subject) *door {
	d := g.doors[s]
	if d == nil {
		d = &door{}
		g.doors[s] = d
	}
	return d
}

// enter waits until the action may be tried. The DNS accounts that turned out
// not to work are marked to be avoided. It is endHeld where the issuer, or
// every account, fails for many, and endStopped where ctx ends.
func (g *gate) enter(ctx context.Context, a *Action) end {
	for {
		g.mu.Lock()
		s, full := g.look(a)
		if s != "" {
			d := g.door(s)
			d.kept = append(d.kept, a.Certificate)
			g.mu.Unlock()
			return endHeld
		}
		if !full {
			for _, s := range subjectsOf(a) {
				g.door(s).inside++
			}
			g.mu.Unlock()
			return endDone
		}
		changed := g.changed
		g.mu.Unlock()
		select {
		case <-ctx.Done():
			return endStopped
		case <-changed:
		}
	}
}

// look says what keeps the action out for good, or whether it has to wait.
func (g *gate) look(a *Action) (shut subject, full bool) {
	for _, s := range askedSubjects(a) {
		if g.door(s).failed.open() {
			return s, false
		}
	}
	var works []string
	for _, name := range a.Spec.DNS {
		if !g.door(accountSubject(name)).failed.open() {
			works = append(works, name)
		} else if !slices.Contains(a.Avoid, name) {
			a.Avoid = append(slices.Clone(a.Avoid), name)
		}
	}
	if len(works) == 0 {
		return accountSubject(a.Spec.DNS[0]), false
	}
	for _, s := range subjectsOf(a) {
		if d := g.door(s); !d.proven && d.inside+len(d.failed.certificates) >= slowStart {
			return "", true
		}
	}
	return "", false
}

// subjectsOf are the issuer and the DNS account that an action tries first.
func subjectsOf(a *Action) []subject {
	first := a.Spec.DNS[0]
	for _, name := range a.Spec.DNS {
		if !slices.Contains(a.Avoid, name) {
			first = name
			break
		}
	}
	return []subject{issuerSubject(a.Issuer.Name), accountSubject(first)}
}

// leave tells how it went. subjects are those it entered by.
func (g *gate) leave(subjects []subject, e Event) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, s := range subjects {
		g.door(s).inside--
	}
	troubles := troubles([]Event{e})
	for s, t := range troubles {
		d := g.door(s)
		if d.failed.class != t.class {
			d.failed = trouble{class: t.class, first: t.first}
		}
		d.failed.last, d.failed.message = t.last, t.message
		d.failed.certificates = append(d.failed.certificates, t.certificates...)
		d.proven = false
	}
	if e.Status == Success {
		for _, s := range worked(e) {
			if troubles[s] == nil {
				d := g.door(s)
				d.proven, d.failed = true, trouble{}
			}
		}
	}
	close(g.changed)
	g.changed = make(chan struct{})
}

// heldEvents tell of the subjects that were shut while certificates still
// wanted in: one event each, however many those are.
func (g *gate) heldEvents() []Event {
	g.mu.Lock()
	defer g.mu.Unlock()
	var events []Event
	for s, d := range g.doors {
		if len(d.kept) > 0 {
			detail := fmt.Sprintf("%s failed for %d certificates in a row; %d more were not tried, one at a time tries it again", s, len(d.failed.certificates), len(d.kept))
			e := heldEvent(g.now(), s, ReasonBreaker, detail, d.failed.class, d.failed.message)
			e.concerns(slices.Sorted(slices.Values(d.kept)))
			events = append(events, e)
		}
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
		if a.Kind != KindHold || a.HeldBy == "" {
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
		waiting := counted(len(g.names), "certificate") + " wait"
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
	detail := "what " + shortNames(names) + " has in Vault cannot be looked at, so nothing is done with it"
	e := heldEvent(now, subject(string(unreadableSubject)+" "+namesDigest(names)), ReasonUnreadable, detail, ClassVault, message)
	e.Subject = string(unreadableSubject)
	e.concerns(names)
	return e
}

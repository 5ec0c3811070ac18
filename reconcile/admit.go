package reconcile

import (
	"fmt"
	"slices"
	"time"
)

// admit holds back what would pass a limit of the CA or add to a trouble that
// is known, in the order of urgency: what goes first leaves less for the rest.
func admit(actions []Action, who accounts, history []Event, found map[subject]*trouble, now time.Time) {
	g := &gatekeeper{troubles: found, book: newBook(history, who), probing: map[subject]bool{}, now: now}
	var asking []*Action
	for i := range actions {
		switch a := &actions[i]; {
		case !a.Kind.Orders():
		case a.AtWork != nil:
			g.goesOn(a)
		default:
			asking = append(asking, a)
		}
	}
	slices.SortFunc(asking, byDeadline(now))
	mayBeMended(g.troubles, asking, now)
	for _, a := range g.trustedFirst(asking) {
		if until := saidBefore(history, a); until.After(now) {
			a.hold(ReasonRateLimited, until, fmt.Sprintf("issuer.%s is still rate limited until %s", a.Issuer.Name, until.UTC().Format(time.RFC3339)))
			continue
		}
		g.admit(a)
	}
	for i := range actions {
		if a := &actions[i]; a.mends() {
			if free := g.book.free(g.book.usesOf(a.Issuer, a.Spec.Names(), ""), now); free.After(a.OrderFrom) {
				a.OrderFrom, a.orderHeld = free, "another certificate would pass a limit of issuer."+a.Issuer.Name
			}
		}
	}
}

// trustedFirst has those try a subject in trouble first that it worked for
// before: what was never issued may fail by its own mistake, which tells nothing
// of the others. A person's word, or changed settings, go before that.
func (g *gatekeeper) trustedFirst(asking []*Action) []*Action {
	var first, later []*Action
	for _, a := range asking {
		if g.trusted(a) {
			first = append(first, a)
		} else {
			later = append(later, a)
		}
	}
	return append(first, later...)
}

func (g *gatekeeper) trusted(a *Action) bool {
	l := a.Secret.Live
	proven := l != nil && a.Secret.Owner == a.Certificate && l.NamesDigest == namesDigest(a.Spec.Names())
	subjects := askedSubjects(a)
	for _, name := range a.serving() {
		subjects = append(subjects, accountSubject(name))
	}
	for _, s := range subjects {
		t := g.troubles[s]
		if !holdsAction(t, a) || t.retried(a.Certificate, g.now) || t.mayBeMended(g.now) {
			continue
		}
		if name, ok := s.account(); !proven || ok && name != l.DNSAccount && !a.needs(name) {
			return false
		}
	}
	return true
}

// saidBefore is until when an issuer whose turn comes again has told to wait,
// before it was another's: the record's hold is the other's by now.
func saidBefore(history []Event, a *Action) (until time.Time) {
	if r := a.Record; r == nil || r.Hold == nil || r.Hold.Issuer == a.Issuer.Name {
		return until
	}
	for _, e := range history {
		switch {
		case e.Certificate != a.Spec.Name:
		case e.Operation == KindRetry && e.Forced || e.Issuer == a.Issuer.Name && e.Status == Success && e.Operation.Orders():
			until = time.Time{}
		case e.Issuer == a.Issuer.Name && e.Class == ClassRateLimited && e.HoldUntil != nil && namesDigest(e.Names) == namesDigest(a.Spec.Names()):
			until = later(until, *e.HoldUntil)
		}
	}
	return until
}

// gatekeeper is one pass of admit.
type gatekeeper struct {
	troubles map[subject]*trouble
	book     *book
	probing  map[subject]bool // one certificate tries them in this pass
	now      time.Time
}

// probeTime is how long the probe of a subject may take until the next one may go:
// what it stands at is then another side's matter.
const probeTime = 10 * time.Minute

// goesOn counts what is under way already: nothing is known yet of what it draws. It
// counts by its account and CA, as its issuer may be a block of an earlier revision.
func (g *gatekeeper) goesOn(a *Action) {
	g.book.order(a.Issuer, a.Spec.Names(), a.Exempt, g.now)
	for _, s := range a.Probes {
		g.probing[s] = g.probing[s] || g.now.Sub(a.AtWork.Since) < probeTime
	}
}

// admit holds the action where something it needs is in trouble, or where
// there is nothing to draw. Where it goes on in spite of a trouble it is the
// one probe of this pass.
func (g *gatekeeper) admit(a *Action) {
	var probes []subject
	for _, s := range askedSubjects(a) {
		switch {
		case !holdsAction(g.troubles[s], a):
		case !g.mayProbe(a, s):
			g.stop(a, s)
			return
		default:
			probes = append(probes, s)
		}
	}
	working, avoid := g.accounts(a)
	if way := a.shutWay(avoid); way != nil {
		g.stop(a, g.soonest(a, way))
		return
	}
	if g.limit(a) {
		return
	}
	a.Avoid = avoid
	for _, name := range working {
		probes = append(probes, accountSubject(name))
	}
	for _, s := range probes {
		if t := g.troubles[s]; holdsAction(t, a) {
			g.probing[s] = true
			a.Probes = append(a.Probes, s)
			a.Unscheduled = a.Unscheduled || g.probeAt(a, s).After(g.now)
		}
	}
}

// accounts sorts an action's DNS accounts into those it may try and those that
// it passes over at once.
func (g *gatekeeper) accounts(a *Action) (working, avoid []string) {
	for _, name := range a.serving() {
		if s := accountSubject(name); holdsAction(g.troubles[s], a) && !g.mayProbe(a, s) {
			avoid = append(avoid, name)
		} else {
			working = append(working, name)
		}
	}
	return working, avoid
}

// soonest is the DNS account of a way that may be tried again first.
func (g *gatekeeper) soonest(a *Action, way []string) subject {
	first := accountSubject(way[0])
	for _, name := range way[1:] {
		if s := accountSubject(name); g.probeAt(a, s).Before(g.probeAt(a, first)) {
			first = s
		}
	}
	return first
}

func (g *gatekeeper) probeAt(a *Action, s subject) time.Time {
	return g.troubles[s].probeAt(s, deadlineOf(a, g.now))
}

func (g *gatekeeper) mayProbe(a *Action, s subject) bool {
	t := g.troubles[s]
	return !g.probing[s] && (t.retried(a.Certificate, g.now) || t.mayBeMended(g.now) || !g.probeAt(a, s).After(g.now))
}

// stop holds the action because of a subject in trouble.
func (g *gatekeeper) stop(a *Action, s subject) {
	t, at := g.troubles[s], g.probeAt(a, s)
	if !at.After(g.now) {
		at = g.now.Add(leastWait) // the probe of this pass goes first
	}
	a.hold(ReasonBreaker, at, fmt.Sprintf("%s has failed for %d certificates in a row (%s), one at a time tries it again: %s",
		s, len(t.certificates), t.class, firstLine(t.message)))
	a.HeldBy = s
}

// limit draws for the action, and holds it where there is nothing to draw yet.
func (g *gatekeeper) limit(a *Action) bool {
	at, by := g.book.reserve(a.Issuer, a.Spec.Names(), a.Exempt, g.now)
	if by == nil {
		return false
	}
	a.hold(ReasonLimit, at, fmt.Sprintf("issuer.%s allows no more than %s; certroll orders this one at %s", a.Issuer.Name, by.text, at.UTC().Format(time.RFC3339)))
	a.HeldBy = subject("issuer." + a.Issuer.Name + " " + by.key.limit)
	return true
}

// hold makes the action one that waits.
func (a *Action) hold(why Reason, until time.Time, detail string) {
	a.Wants, a.Kind, a.Reason, a.NotBefore, a.Detail = a.Kind, KindHold, why, until.UTC(), detail
}

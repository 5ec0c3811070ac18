package plan

import (
	"fmt"
	"slices"
	"time"

	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/throttle"
	"certroll/reconcile/times"
	"certroll/spec/text"
)

// Admit holds actions that would pass a rate limit of the CA, or that need an issuer or DNS
// account whose breaker is open. It goes by urgency: actions that go first leave less of
// the limits for the rest.
func Admit(actions []Action, who throttle.Accounts, history []ledger.Event, found map[ledger.Subject]*throttle.Circuit, now time.Time) {
	g := &admission{circuits: found, book: throttle.NewBook(history, who), probing: map[ledger.Subject]bool{}, now: now}
	var asking []*Action
	for i := range actions {
		// Only orders draw on the CA's limits and need a DNS account.
		switch a := &actions[i]; {
		case !a.Kind.Orders():
		case a.AtWork != nil:
			g.goesOn(a)
		default:
			asking = append(asking, a)
		}
	}
	slices.SortFunc(asking, ByDeadline(now))
	mayBeMended(g.circuits, asking, now)
	for _, a := range g.trustedFirst(asking) {
		if until := saidBefore(history, a); until.After(now) {
			a.hold(ledger.ReasonRateLimited, until, fmt.Sprintf("issuer.%s is still rate limited until %s", a.Issuer.Name, until.UTC().Format(time.RFC3339)))
			continue
		}
		g.admit(a)
	}
	for i := range actions {
		// A repair takes nothing from the limits here: most repairs order nothing. Admit
		// only notes the time from which the limits allow an order.
		if a := &actions[i]; a.Mends() {
			// No exemption is known yet: a repair that has to order uses the full limits.
			if free := g.book.Free(g.book.UsesOf(a.Issuer, a.Spec.Names(), ""), now); free.After(a.OrderFrom) {
				a.OrderFrom, a.OrderHeld = free, "another certificate would pass a limit of issuer."+a.Issuer.Name
			}
		}
	}
}

// trustedFirst moves the actions to the front for which the failing subjects have worked
// before. A certificate that was never issued may fail by a mistake of its own, which says
// nothing about other certificates. A person's retry and changed settings go before that
// rule.
func (g *admission) trustedFirst(asking []*Action) []*Action {
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

func (g *admission) trusted(a *Action) bool {
	// An order for these names worked before: a new failure is evidence about the subject.
	l := a.Secret.Live
	proven := l != nil && a.Secret.Owner == a.Certificate && l.NamesDigest == keypair.NamesDigest(a.Spec.Names())
	subjects := AskedSubjects(a)
	for _, name := range a.Serving() {
		subjects = append(subjects, ledger.AccountSubject(name))
	}
	for _, s := range subjects {
		t := g.circuits[s]
		if !HoldsAction(t, a) || t.Retried(a.Certificate, g.now) || t.MayBeMended(g.now) {
			continue
		}
		// For a DNS account the proof has to come from the same account, unless no other
		// account serves the name.
		if name, ok := s.Account(); !proven || ok && name != l.DNSAccount && !a.needs(name) {
			return false
		}
	}
	return true
}

// saidBefore returns the end of a rate limit that the action's issuer announced in an
// earlier turn. The hold of the record does not show it: by now it is the hold of another
// issuer.
func saidBefore(history []ledger.Event, a *Action) (until time.Time) {
	if r := a.Record; r == nil || r.Hold == nil || r.Hold.Issuer == a.Issuer.Name {
		return until
	}
	for _, e := range history {
		switch {
		case e.Certificate != a.Spec.Name:
		// certroll retry -force, or a later success, ends the earlier limit.
		case e.Operation == ledger.KindRetry && e.Forced || e.Issuer == a.Issuer.Name && e.Status == ledger.Success && e.Operation.Orders():
			until = time.Time{}
		// The limits of a CA depend on the names, so a limit of other names does not count.
		case e.Issuer == a.Issuer.Name && e.Class == ledger.ClassRateLimited && e.HoldUntil != nil && keypair.NamesDigest(e.Names) == keypair.NamesDigest(a.Spec.Names()):
			until = times.Later(until, *e.HoldUntil)
		}
	}
	return until
}

// admission is one run of Admit.
type admission struct {
	circuits map[ledger.Subject]*throttle.Circuit
	book     *throttle.Book
	probing  map[ledger.Subject]bool // subjects that an action of this pass probes
	now      time.Time
}

// probeTime is how long one probe keeps other certificates from probing the same subject. A
// probe that takes longer probably waits for another service.
const probeTime = 10 * time.Minute

// goesOn counts an attempt under way, whose event does not exist yet. It counts by account
// and CA, because the issuer may be a block of an earlier revision.
func (g *admission) goesOn(a *Action) {
	g.book.Order(a.Issuer, a.Spec.Names(), a.Exempt, g.now)
	for _, s := range a.Probes {
		g.probing[s] = g.probing[s] || g.now.Sub(a.AtWork.Since) < probeTime
	}
}

// admit holds the action if a subject that it needs has an open breaker, or if a rate limit
// is used up. An action that goes on despite an open breaker is the only probe of that
// subject in this pass.
func (g *admission) admit(a *Action) {
	// The issuer first: without it the action needs no DNS account and takes no tokens.
	var probes []ledger.Subject
	for _, s := range AskedSubjects(a) {
		switch {
		case !HoldsAction(g.circuits[s], a):
		case !g.mayProbe(a, s):
			g.stop(a, s)
			return
		default:
			probes = append(probes, s)
		}
	}
	working, avoid := g.accounts(a)
	// Every name needs one usable account.
	if way := a.ShutWay(avoid); way != nil {
		g.stop(a, g.soonest(a, way))
		return
	}
	// Last, because a reservation takes tokens that only an action that starts may take.
	if g.limit(a) {
		return
	}
	a.Avoid = avoid
	for _, name := range working {
		probes = append(probes, ledger.AccountSubject(name))
	}
	for _, s := range probes {
		if t := g.circuits[s]; HoldsAction(t, a) {
			g.probing[s] = true
			a.Probes = append(a.Probes, s)
			a.Unscheduled = a.Unscheduled || g.probeAt(a, s).After(g.now)
		}
	}
}

// accounts splits an action's DNS accounts into those it may try and those to avoid.
func (g *admission) accounts(a *Action) (working, avoid []string) {
	for _, name := range a.Serving() {
		if s := ledger.AccountSubject(name); HoldsAction(g.circuits[s], a) && !g.mayProbe(a, s) {
			avoid = append(avoid, name)
		} else {
			working = append(working, name)
		}
	}
	return working, avoid
}

// soonest returns the DNS account of a way whose next probe comes first.
func (g *admission) soonest(a *Action, way []string) ledger.Subject {
	first := ledger.AccountSubject(way[0])
	for _, name := range way[1:] {
		if s := ledger.AccountSubject(name); g.probeAt(a, s).Before(g.probeAt(a, first)) {
			first = s
		}
	}
	return first
}

func (g *admission) probeAt(a *Action, s ledger.Subject) time.Time {
	return g.circuits[s].ProbeAt(s, deadlineOf(a, g.now))
}

func (g *admission) mayProbe(a *Action, s ledger.Subject) bool {
	t := g.circuits[s]
	// A person's retry and changed settings do not wait for the scheduled probe.
	return !g.probing[s] && (t.Retried(a.Certificate, g.now) || t.MayBeMended(g.now) || !g.probeAt(a, s).After(g.now))
}

// stop holds the action because of a subject with an open breaker.
func (g *admission) stop(a *Action, s ledger.Subject) {
	t, at := g.circuits[s], g.probeAt(a, s)
	if !at.After(g.now) {
		at = g.now.Add(throttle.LeastWait) // another action of this pass probes first
	}
	a.hold(ledger.ReasonBreaker, at, fmt.Sprintf("%s has failed for %d certificates in a row (%s), one at a time tries it again: %s",
		s, len(t.Certificates), t.Class, text.FirstLine(t.Message)))
	a.HeldBy = s
}

// limit reserves the order in the CA's rate limits. It holds the action and returns true if
// a limit is used up.
func (g *admission) limit(a *Action) bool {
	at, by := g.book.Reserve(a.Issuer, a.Spec.Names(), a.Exempt, g.now)
	if by == nil {
		return false
	}
	a.hold(ledger.ReasonLimit, at, fmt.Sprintf("issuer.%s allows no more than %s; certroll orders this one at %s", a.Issuer.Name, by.Text, at.UTC().Format(time.RFC3339)))
	a.HeldBy = ledger.Subject("issuer." + a.Issuer.Name + " " + by.Key.Limit)
	return true
}

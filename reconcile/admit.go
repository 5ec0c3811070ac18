package reconcile

import (
	"fmt"
	"slices"
	"time"
)

// admit holds back what would pass a limit of the CA or add to a trouble that
// is known, in the order of urgency: what goes first leaves less for the rest.
func admit(actions []Action, obs *Observed, now time.Time) {
	var asking []*Action
	for i := range actions {
		if actions[i].Kind.Orders() {
			asking = append(asking, &actions[i])
		}
	}
	slices.SortFunc(asking, byDeadline(now))
	g := &gatekeeper{troubles: troubles(obs.History), book: newBook(obs.History), probing: map[subject]bool{}, now: now}
	mended(g.troubles, obs.Credentials)
	for _, a := range asking {
		if !g.held(a) {
			g.limit(a)
		}
	}
}

// gatekeeper is one pass of admit.
type gatekeeper struct {
	troubles map[subject]*trouble
	book     *book
	probing  map[subject]bool // one certificate tries them in this pass
	now      time.Time
}

// held stops an action whose issuer, or every DNS account of which, is in
// trouble; one at a time goes on as a probe. Where another account is left,
// those in trouble are passed over at once.
func (g *gatekeeper) held(a *Action) bool {
	if g.stop(a, issuerSubject(a.Issuer.Name)) {
		return true
	}
	var avoid []string
	for _, name := range a.Spec.DNS {
		if s := accountSubject(name); g.troubles[s].open() && !g.mayProbe(a, s) {
			avoid = append(avoid, name)
		}
	}
	if len(avoid) < len(a.Spec.DNS) {
		a.Avoid = avoid
		for _, name := range a.Spec.DNS {
			if s := accountSubject(name); g.troubles[s].open() && !slices.Contains(avoid, name) {
				g.probing[s] = true
			}
		}
		return false
	}
	return g.stop(a, accountSubject(a.Spec.DNS[0]))
}

func (g *gatekeeper) mayProbe(a *Action, s subject) bool {
	return !g.probing[s] && !g.troubles[s].probeAt(s, deadlineOf(a, g.now)).After(g.now)
}

// stop holds the action where the subject is in trouble and this is no time
// for a probe.
func (g *gatekeeper) stop(a *Action, s subject) bool {
	t := g.troubles[s]
	if !t.open() {
		return false
	}
	if g.mayProbe(a, s) {
		g.probing[s] = true
		return false
	}
	at := t.probeAt(s, deadlineOf(a, g.now))
	if !at.After(g.now) {
		at = g.now.Add(leastWait) // the probe of this pass goes first
	}
	a.hold(ReasonBreaker, at, fmt.Sprintf("%s has failed for %d certificates in a row (%s), one at a time tries it again: %s",
		s, len(t.certificates), t.class, firstLine(t.message)))
	a.HeldBy = s
	return true
}

// limit draws for the action, and holds it where there is nothing to draw yet.
func (g *gatekeeper) limit(a *Action) {
	at, by := g.book.reserve(usesOf(a.Issuer, a.Spec.Names(), a.Exempt), g.now)
	if by == nil {
		return
	}
	a.hold(ReasonLimit, at, fmt.Sprintf("issuer.%s takes no more than %s; this one may go %s", a.Issuer.Name, by.text, at.UTC().Format(time.RFC3339)))
	a.HeldBy = subject("issuer." + a.Issuer.Name + " " + by.key.limit)
}

// hold makes the action one that waits.
func (a *Action) hold(why Reason, until time.Time, detail string) {
	a.Wants, a.Kind, a.Reason, a.NotBefore, a.Detail = a.Kind, KindHold, why, until.UTC(), detail
}

package limiter

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"certroll/reconcile/archive"
	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/reconcile/throttle"
	"certroll/reconcile/times"
	"certroll/spec"
	"certroll/spec/text"
)

// End is how one action came to its end.
type End int

// The ends of an action.
const (
	EndDone     End = iota // it has a result
	EndStopped             // the run was stopped: nothing is noted, the next run goes on
	EndHeld                // it was not taken up, as others fail
	EndWaits               // it was not taken up yet
	EndReplaced            // it was not taken up: a newer plan counts
	EndLeft                // Vault went away: nothing is noted, the next run goes on
)

// SlowStart is how many certificates try an issuer or a DNS account at once
// until one has succeeded with it: no more than it takes to see that it fails.
const SlowStart = throttle.BreakAfter

// Limiter is the circuit breaker within a pass, as admit is between passes. Both
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
type Limiter struct {
	now  func() time.Time
	Asks bool // the CA can be asked whether an account is in order

	mu     sync.Mutex
	passes int // under way
	left   int // counts those who left
	doors  map[ledger.Subject]*dependency
	found  map[ledger.Subject]*throttle.Circuit
	recent []ledger.Event // of the passes under way, that no plan knew of yet
	zoned  *plan.Zoned    // by the spec of the pass that began last
}

// dependency is one subject, while passes are under way.
type dependency struct {
	inside   map[string]int // by the issuer that they ask
	proven   bool
	failedAt int  // the gate's count when somebody failed last, zero: nobody has
	usable   bool // an issuer's: its account is in order
}

// New is a gate that nobody has passed yet.
func New(now func() time.Time) *Limiter {
	return &Limiter{now: now, doors: map[ledger.Subject]*dependency{}}
}

// Pass is one pass's way through the gate.
type Pass struct {
	*Limiter
	since int                         // the gate's count when its plan was made
	kept  map[ledger.Subject][]string // certificates that were not let in
}

// Begin opens the gate to a pass. obs is what its plan was made of, with all
// that the journal holds. end has to be called when the pass is over.
func (g *Limiter) Begin(desired *spec.Spec, obs *plan.Observed) *Pass {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.passes++
	g.zoned = plan.ZonedBy(desired)
	g.found = plan.Known(desired, obs, archive.Credible(obs.History, g.now()))
	seen := make(map[string]bool, len(g.recent))
	for _, e := range obs.History {
		seen[e.ID] = true
	}
	g.recent = slices.DeleteFunc(g.recent, func(e ledger.Event) bool { return seen[e.ID] })
	for _, e := range g.recent { // noted after the plan was made
		throttle.AddToCircuit(g.found, g.zoned.Fair(e))
	}
	return &Pass{Limiter: g, since: g.left, kept: map[ledger.Subject][]string{}}
}

// End closes the pass. After the last one the history holds all that is known.
func (p *Pass) End() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.passes--; p.passes == 0 {
		p.doors, p.recent = map[ledger.Subject]*dependency{}, nil
	}
}

func (g *Limiter) dependency(s ledger.Subject) *dependency {
	d := g.doors[s]
	if d == nil {
		d = &dependency{inside: map[string]int{}}
		g.doors[s] = d
	}
	return d
}

// Try lets the action in where it may be tried and room is free besides, and has
// the caller say by leave how it went. The DNS accounts that are known not to work
// are marked to be avoided. It is endHeld where the issuer, or every account,
// fails for many, and endWaits where somebody inside has to leave first; leave is
// nil then.
func (p *Pass) Try(a *plan.Action, room func() bool) (leave func(ledger.Event), in End) {
	p.mu.Lock()
	defer p.mu.Unlock()
	shut, full := p.look(a)
	switch {
	case shut != "":
		p.kept[shut] = append(p.kept[shut], a.Certificate)
		return nil, EndHeld
	case full || !room():
		return nil, EndWaits
	}
	entered := plan.SubjectsOf(a)
	for _, s := range entered {
		p.dependency(s).inside[a.Issuer.Name]++
	}
	return func(e ledger.Event) { p.Leave(entered, a.Issuer.Name, e) }, EndDone
}

// look says what keeps the action out for good, or whether it has to wait.
func (p *Pass) look(a *plan.Action) (shut ledger.Subject, full bool) {
	for _, s := range plan.AskedSubjects(a) {
		if p.shuts(s, a) {
			return s, false
		}
	}
	var avoid []string
	for _, name := range a.Serving() {
		if p.shuts(ledger.AccountSubject(name), a) {
			avoid = append(avoid, name)
		}
	}
	if way := a.ShutWay(avoid); way != nil {
		return ledger.AccountSubject(way[0]), false
	}
	a.Avoid = avoid
	return "", slices.ContainsFunc(plan.SubjectsOf(a), func(s ledger.Subject) bool { return p.full(s, a.Issuer.Name) })
}

// shuts tells whether a subject keeps the action out. The probe that the plan
// has let go is, once somebody has failed there after the plan was made.
func (p *Pass) shuts(s ledger.Subject, a *plan.Action) bool {
	return plan.HoldsAction(p.found[s], a) && (!slices.Contains(a.Probes, s) || p.dependency(s).failedAt > p.since)
}

// full tells whether enough are inside of a subject that nobody has succeeded
// with yet. Nobody waits where nobody is inside.
//
// Of those inside of a DNS account the ones that came with the same issuer count:
// who is at another CA may stand there for hours, and not for the account's sake.
func (g *Limiter) full(s ledger.Subject, issuer string) bool {
	d := g.dependency(s)
	inside := d.inside[issuer]
	if _, isDNS := s.Account(); g.Asks && !isDNS && !d.usable && inside > 0 {
		return true
	}
	return !d.proven && inside > 0 && inside+g.found[s].Count() >= SlowStart
}

// AccountUsable notes that the CA has said of an issuer's account that it is in
// order.
func (g *Limiter) AccountUsable(issuer string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.dependency(ledger.IssuerSubject(issuer)).usable = true
}

// IsUsable tells whether the CA has said so while passes are under way.
func (g *Limiter) IsUsable(issuer string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.dependency(ledger.IssuerSubject(issuer)).usable
}

// Leave notes how it went for one that entered by some subjects.
func (g *Limiter) Leave(entered []ledger.Subject, issuer string, e ledger.Event) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.left++
	fair := g.zoned.Fair(e)
	for _, s := range entered {
		g.dependency(s).inside[issuer]--
	}
	for s := range throttle.Circuits([]ledger.Event{fair}) {
		d := g.dependency(s)
		d.proven, d.failedAt = false, g.left
	}
	throttle.AddToCircuit(g.found, fair)
	if e.ID != "" {
		g.recent = append(g.recent, e)
	}
	if e.Status == ledger.Success && e.Operation.Orders() {
		for _, s := range throttle.Worked(e) {
			if g.found[s] == nil {
				g.dependency(s).proven = true
			}
		}
	}
}

// HeldEvents tell of the subjects that were shut while certificates still
// wanted in: one event each, however many those are.
func (p *Pass) HeldEvents() []ledger.Event {
	p.mu.Lock()
	defer p.mu.Unlock()
	var events []ledger.Event
	for s, kept := range p.kept {
		t := p.found[s]
		if t == nil {
			continue // another certificate has succeeded since
		}
		detail := fmt.Sprintf("%s failed for %d certificates in a row; %d more were not tried, one at a time tries it again", s, t.Count(), len(kept))
		e := ledger.HeldEvent(p.now(), s, ledger.ReasonBreaker, detail, t.Class, t.Message)
		e.Concerns(slices.Sorted(slices.Values(kept)))
		events = append(events, e)
	}
	return events
}

// HeldTogether are the events of what a plan holds for a reason that is not
// one certificate's own.
func HeldTogether(actions []plan.Action, now time.Time) []ledger.Event {
	type group struct {
		first *plan.Action
		names []string
		last  time.Time
	}
	groups := map[ledger.Subject]*group{}
	var order []ledger.Subject
	for i, a := range actions {
		if a.Kind != ledger.KindHold || a.HeldBy == "" || a.Reason == ledger.ReasonNewRule || a.Reason == ledger.ReasonMass || a.Reason == ledger.ReasonNotRead {
			continue
		}
		g := groups[a.HeldBy]
		if g == nil {
			g = &group{first: &actions[i]}
			groups[a.HeldBy] = g
			order = append(order, a.HeldBy)
		}
		g.names, g.last = append(g.names, a.Certificate), times.Later(g.last, a.NotBefore)
	}
	var events []ledger.Event
	for _, s := range order {
		g := groups[s]
		if s == ledger.UnreadableSubject {
			events = append(events, UnreadableEvent(now, g.names, g.first.Detail))
			continue
		}
		waiting := text.Counted(len(g.names), "certificate") + " wait"
		if len(g.names) == 1 {
			waiting += "s"
		}
		detail := fmt.Sprintf("%s, the last until %s: %s", waiting, g.last.UTC().Format(time.RFC3339), g.first.Detail)
		e := ledger.HeldEvent(now, s, g.first.Reason, detail, "", "")
		e.Concerns(g.names)
		events = append(events, e)
	}
	return events
}

// UnreadableEvent tells of certificates that nothing can be done with, once a
// day and whenever they are others.
func UnreadableEvent(now time.Time, names []string, message string) ledger.Event {
	detail := "what " + text.Some(names, 3) + " has in Vault cannot be looked at, so nothing is done with it"
	e := ledger.HeldEvent(now, ledger.Subject(string(ledger.UnreadableSubject)+" "+keypair.NamesDigest(names)), ledger.ReasonUnreadable, detail, ledger.ClassVault, message)
	e.Subject = string(ledger.UnreadableSubject)
	e.Concerns(names)
	return e
}

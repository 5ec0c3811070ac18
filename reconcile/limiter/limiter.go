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

// End is how an action left the limiter or ended.
type End int

// The ends of an action in a pass.
const (
	EndDone     End = iota // it has a result
	EndStopped             // the run was stopped: no event, the next run resumes it
	EndHeld                // not started: its issuer or DNS account fails for others
	EndWaits               // not started yet
	EndReplaced            // not started: a newer plan replaces it
	EndNoTurn              // its turn to order did not come: no event, the next run resumes it
	EndLeft                // Vault became unusable: no event, the next run resumes it
)

// SlowStart is how many certificates may try an issuer or DNS account at once before the
// first success: as many as the breaker needs to open.
const SlowStart = throttle.BreakAfter

// Limiter is the breaker within a pass. It uses the same model as the plan: it starts
// with the circuits of the history that the plan was made from, and adds each event as it
// comes. An action that the plan chose as a probe may try an open subject once.
//
//	proven:   a certificate has succeeded   all may enter
//	unproven: none has succeeded yet        SlowStart at once, the others wait
//	open:     failed for BreakAfter         only the plan's probe may enter
//
// The first certificate of an issuer goes alone until the CA has confirmed the account: a
// deactivated account then costs one failure, not three.
//
// A certificate waits only for a subject that another certificate occupies. It enters all
// its subjects at once or none, and leaves them when its attempt ends, which has a
// deadline. This excludes deadlocks. It waits in the crew's queue, which tries again
// whenever a certificate has left.
//
// Passes that overlap share one Limiter, and so share its findings.
type Limiter struct {
	now  func() time.Time
	Asks bool // the CA adapter can check an account

	mu           sync.Mutex
	passes       int // number of passes under way
	left         int // number of certificates that have left
	dependencies map[ledger.Subject]*dependency
	found        map[ledger.Subject]*throttle.Circuit
	recent       []ledger.Event // of the passes under way, unknown to their plans
	zoned        *plan.Zoned    // by the spec of the latest pass
}

// dependency is the state of one subject while passes are under way.
type dependency struct {
	inside   map[string]int // certificates inside, by issuer
	proven   bool
	failedAt int  // value of left at the last failure; zero: none
	usable   bool // for an issuer: the CA confirmed the account
}

// New returns a limiter without passes.
func New(now func() time.Time) *Limiter {
	return &Limiter{now: now, dependencies: map[ledger.Subject]*dependency{}}
}

// Pass is the limiter as one pass sees it.
type Pass struct {
	*Limiter
	since    int                         // value of left when the plan was made
	rejected map[ledger.Subject][]string // certificates that were rejected, by subject
}

// Begin registers a pass. obs is the observation of its plan, including the journal. The
// caller has to call End when the pass is over.
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
	// The plan's history has some of the recent events by now.
	g.recent = slices.DeleteFunc(g.recent, func(e ledger.Event) bool { return seen[e.ID] })
	for _, e := range g.recent { // recorded after the plan was made
		throttle.AddToCircuit(g.found, g.zoned.Fair(e))
	}
	return &Pass{Limiter: g, since: g.left, rejected: map[ledger.Subject][]string{}}
}

// End ends the pass. With the last pass the state is dropped: the history has it all.
func (p *Pass) End() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.passes--; p.passes == 0 {
		p.dependencies, p.recent = map[ledger.Subject]*dependency{}, nil
	}
}

// dependency returns the state of a subject. The caller holds g.mu.
func (g *Limiter) dependency(s ledger.Subject) *dependency {
	d := g.dependencies[s]
	if d == nil {
		d = &dependency{inside: map[string]int{}}
		g.dependencies[s] = d
	}
	return d
}

// Try admits the action if its subjects are usable and room reports a free place. The
// caller then passes the event to leave when the attempt has ended. Try marks DNS
// accounts that fail as to be avoided. It returns EndHeld if the issuer, or every DNS
// account, fails for many, and EndWaits if another certificate has to leave first; leave
// is nil in both cases.
func (p *Pass) Try(a *plan.Action, room func() bool) (leave func(ledger.Event), in End) {
	p.mu.Lock()
	defer p.mu.Unlock()
	shut, full := p.look(a)
	switch {
	case shut != "":
		p.rejected[shut] = append(p.rejected[shut], a.Certificate)
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

// look returns the subject that rejects the action, or whether the action has to wait.
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

// shuts reports whether a subject rejects the action. The plan's probe is rejected only
// if the subject has failed again since the plan was made.
func (p *Pass) shuts(s ledger.Subject, a *plan.Action) bool {
	return plan.HoldsAction(p.found[s], a) && (!slices.Contains(a.Probes, s) || p.dependency(s).failedAt > p.since)
}

// full reports whether enough certificates are inside a subject that has no success yet.
// An empty subject is never full, so that no certificate waits for nothing.
//
// Inside a DNS account, only certificates of the same issuer count: those of another CA
// may stay for hours because of that CA.
func (g *Limiter) full(s ledger.Subject, issuer string) bool {
	d := g.dependency(s)
	inside := d.inside[issuer]
	if _, isDNS := s.Account(); g.Asks && !isDNS && !d.usable && inside > 0 {
		return true
	}
	return !d.proven && inside > 0 && inside+g.found[s].Count() >= SlowStart
}

// AccountUsable records that the CA confirmed the issuer's ACME account.
func (g *Limiter) AccountUsable(issuer string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.dependency(ledger.IssuerSubject(issuer)).usable = true
}

// IsUsable reports whether the CA has confirmed the account while passes are under way.
func (g *Limiter) IsUsable(issuer string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.dependency(ledger.IssuerSubject(issuer)).usable
}

// Leave records the event of a certificate that entered the given subjects.
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
		// A failure makes the subject unproven: it starts slowly again.
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

// HeldEvents returns one event for each subject that rejected certificates, however many.
func (p *Pass) HeldEvents() []ledger.Event {
	p.mu.Lock()
	defer p.mu.Unlock()
	var events []ledger.Event
	for s, rejected := range p.rejected {
		t := p.found[s]
		if t == nil {
			continue // another certificate has succeeded since
		}
		detail := fmt.Sprintf("%s failed for %d certificates in a row; %d more were not tried, one at a time tries it again", s, t.Count(), len(rejected))
		e := ledger.HeldEvent(p.now(), s, ledger.ReasonBreaker, detail, t.Class, t.Message)
		e.Concerns(slices.Sorted(slices.Values(rejected)))
		events = append(events, e)
	}
	return events
}

// HeldTogether returns one event for each cause that holds many certificates of a plan.
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

// UnreadableEvent reports certificates whose secrets cannot be read. Its ID makes it
// appear once a day, and again if the set of certificates changes.
func UnreadableEvent(now time.Time, names []string, message string) ledger.Event {
	detail := "what " + text.Some(names, 3) + " has in Vault cannot be looked at, so nothing is done with it"
	e := ledger.HeldEvent(now, ledger.Subject(string(ledger.UnreadableSubject)+" "+keypair.NamesDigest(names)), ledger.ReasonUnreadable, detail, ledger.ClassVault, message)
	e.Subject = string(ledger.UnreadableSubject)
	e.Concerns(names)
	return e
}

package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/throttle"
	"certroll/spec"
	"certroll/spec/text"
)

// HoldByRule holds actions in a revision that was in force before this version of certroll,
// if a new rule rejects what they use. certroll sends nothing to an issuer or DNS account
// that is held; actions that need neither go on.
func HoldByRule(s *Situation, a Action) Action {
	if len(s.Spec.Held) == 0 || a.Kind == ledger.KindNone || a.Kind == ledger.KindHold || a.Reason.Records() {
		return a
	}
	// One reason is enough for the hold; doctor --upgrade lists all.
	h := s.Spec.Held[0]
	until := s.Now.Add(throttle.LeastWait)
	everything := slices.ContainsFunc(s.Spec.Held, spec.Hold.Everything)
	if a.Mends() && !everything {
		a.orderNotBefore(until, h.Message)
		return a // the repair writes certroll's version back and needs neither CA nor DNS account
	}
	// Only orders and revocations use the issuer or the DNS account.
	if !a.Kind.Orders() && a.Kind != ledger.KindRevoke && !everything {
		return a
	}
	a.hold(ledger.ReasonNewRule, until, h.Message)
	a.HeldBy = RuleSubject(h)
	return a
}

// RuleSubject returns the subject of a rule together with the block that breaks it, which
// may hold many certificates.
func RuleSubject(h spec.Hold) ledger.Subject {
	return ledger.Subject("rule " + h.Rule.Name + " of " + h.Subject)
}

// RuleEvents returns the events of a spec's holds, one per rule, block and day. They come
// as soon as the revision is in force and not only when a renewal is due, so that the
// person who upgrades has time to fix the spec.
func RuleEvents(actions []Action, now time.Time) []ledger.Event {
	desired := &spec.Spec{}
	for _, a := range actions {
		if a.Spec != nil {
			desired.Certificates = append(desired.Certificates, a.Spec)
		}
	}
	var events []ledger.Event
	seen := map[ledger.Subject]bool{}
	for _, h := range desired.Holds() {
		s := RuleSubject(h.Hold)
		if seen[s] {
			continue
		}
		seen[s] = true
		detail := fmt.Sprintf("a rule of this version of certroll (%s) rejects %s; the revision was in force before, so that only %s held; certroll doctor --upgrade lists all that is held",
			h.Rule.Name, h.Subject, isAre(h.Certificates))
		e := ledger.HeldEvent(now, s, ledger.ReasonNewRule, detail, ledger.ClassConfig, h.Message)
		e.Severity = ledger.SeverityPage
		e.Concerns(h.Certificates)
		events = append(events, e)
	}
	return events
}

// isAre returns the subject and the verb of a sentence about certificates.
func isAre(names []string) string {
	if len(names) == 1 {
		return names[0] + " is"
	}
	return text.Counted(len(names), "certificate") + " (" + strings.Join(names[:min(3, len(names))], ", ") + ") are"
}

package reconcile

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"certroll/spec"

	"certroll/spec/text"
)

// holdByRule holds what a new rule concerns, in a revision that was in force
// before certroll had the rule. An issuer or DNS account that is held is not
// asked for anything; what needs neither goes on.
func holdByRule(s *situation, a Action) Action {
	if len(s.spec.Held) == 0 || a.Kind == KindNone || a.Kind == KindHold || a.Reason.records() {
		return a
	}
	h := s.spec.Held[0]
	until := s.now.Add(leastWait)
	everything := slices.ContainsFunc(s.spec.Held, spec.Hold.Everything)
	if a.mends() && !everything {
		a.orderNotBefore(until, h.Message)
		return a // what certroll wrote is put back, which asks nobody
	}
	if !a.Kind.Orders() && a.Kind != KindRevoke && !everything {
		return a
	}
	a.hold(ReasonNewRule, until, h.Message)
	a.HeldBy = ruleSubject(h)
	return a
}

// ruleSubject is what holds many: a rule together with the block that breaks it.
func ruleSubject(h spec.Hold) subject {
	return subject("rule " + h.Rule.Name + " of " + h.Subject)
}

// ruleEvents are the events of a spec's holds, one for each rule and block and
// day. They come as soon as the revision is in force, not when something is due:
// whoever upgrades has the time until then.
func ruleEvents(actions []Action, now time.Time) []Event {
	desired := &spec.Spec{}
	for _, a := range actions {
		if a.Spec != nil {
			desired.Certificates = append(desired.Certificates, a.Spec)
		}
	}
	var events []Event
	seen := map[subject]bool{}
	for _, h := range desired.Holds() {
		s := ruleSubject(h.Hold)
		if seen[s] {
			continue
		}
		seen[s] = true
		detail := fmt.Sprintf("a rule of this version of certroll (%s) rejects %s; the revision was in force before, so that only %s held; certroll doctor --upgrade lists all that is held",
			h.Rule.Name, h.Subject, isAre(h.Certificates))
		e := heldEvent(now, s, ReasonNewRule, detail, ClassConfig, h.Message)
		e.Severity = SeverityPage
		e.concerns(h.Certificates)
		events = append(events, e)
	}
	return events
}

func isAre(names []string) string {
	if len(names) == 1 {
		return names[0] + " is"
	}
	return text.Counted(len(names), "certificate") + " (" + strings.Join(names[:min(3, len(names))], ", ") + ") are"
}

package reconcile

import (
	"strings"
	"testing"
	"time"

	"certroll/spec"
)

// TestHoldByRule: what a new rule concerns is not ordered; what needs no CA goes
// on, unless the rule is about the certificate itself.
func TestHoldByRule(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	block := spec.Hold{Rule: spec.NewRule{Name: "trust.endpoints"}, Subject: "dns.pdns", Message: "a.hcl:8: Endpoint not allowed"}
	own := spec.Hold{Rule: spec.NewRule{Name: "vault.fields"}, Subject: "certificate.api", Message: "a.hcl:9: no"}
	for name, test := range map[string]struct {
		held []spec.Hold
		kind Kind
		want Kind
	}{
		"nothing is held":              {nil, KindRenew, KindRenew},
		"a renewal":                    {[]spec.Hold{block}, KindRenew, KindHold},
		"a first issue":                {[]spec.Hold{block}, KindIssue, KindHold},
		"a revocation":                 {[]spec.Hold{block}, KindRevoke, KindHold},
		"what certroll wrote, back":    {[]spec.Hold{block}, KindRepair, KindRepair},
		"nothing to do":                {[]spec.Hold{block}, KindNone, KindNone},
		"its own fields, written back": {[]spec.Hold{own}, KindRepair, KindHold},
		"its own fields, adopted":      {[]spec.Hold{own}, KindAdopt, KindHold},
	} {
		a := holdByRule(&situation{spec: &spec.Certificate{Name: "api", Held: test.held}, now: now}, Action{Kind: test.kind, Certificate: "api"})
		if a.Kind != test.want {
			t.Errorf("%s: %s, want %s", name, a.Kind, test.want)
		}
		if a.Kind == KindHold && (a.Wants != test.kind || a.Reason != ReasonNewRule || !a.NotBefore.After(now) || a.Detail != test.held[0].Message) {
			t.Errorf("%s: %+v", name, a)
		}
		if a.Kind == KindRepair && len(test.held) > 0 && !a.OrderFrom.After(now) {
			t.Errorf("%s: it may order from %s", name, a.OrderFrom)
		}
	}
}

// TestRuleEvents: the event comes before anything is due, once for each block and
// day, with the page severity and the line for certroll.hcl.
func TestRuleEvents(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	h := spec.Hold{Rule: spec.NewRule{Name: "trust.endpoints"}, Subject: "dns.pdns", Message: `write trust { endpoints = ["pdns:443"] }`}
	actions := []Action{
		{Kind: KindNone, Certificate: "a", Spec: &spec.Certificate{Name: "a", Held: []spec.Hold{h}}},
		{Kind: KindHold, Reason: ReasonNewRule, HeldBy: ruleSubject(h), Certificate: "b", Spec: &spec.Certificate{Name: "b", Held: []spec.Hold{h}}},
		{Kind: KindNone, Certificate: "c", Spec: &spec.Certificate{Name: "c"}},
	}
	if e := heldTogether(actions, now); len(e) != 0 {
		t.Errorf("it is told twice: %+v", e)
	}
	events := ruleEvents(actions, now)
	if len(events) != 1 || strings.Join(events[0].Certificates, " ") != "a b" || events[0].Severity != SeverityPage || events[0].Message != h.Message || events[0].Reason != ReasonNewRule {
		t.Fatalf("told: %+v", events)
	}
	if again := ruleEvents(actions, now.Add(time.Hour)); again[0].ID != events[0].ID {
		t.Error("it is told each hour")
	}
	if kinds := (&herald{held: map[string]*openHold{}}).holds(events[0]); len(kinds) != 2 || kinds[0] != NoticePaging {
		t.Errorf("a person is told as %v", kinds)
	}
}

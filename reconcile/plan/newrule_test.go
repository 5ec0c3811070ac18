package plan_test

import (
	"strings"
	"testing"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/limiter"
	"certroll/reconcile/outbox"
	"certroll/reconcile/plan"
	"certroll/spec"
)

// TestHoldByRule checks that a certificate affected by a new rule is not ordered.
// Actions without the CA continue, unless the rule is about the certificate itself.
func TestHoldByRule(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	block := spec.Hold{Rule: spec.NewRule{Name: "trust.endpoints"}, Subject: "dns.pdns", Message: "a.hcl:8: Endpoint not allowed"}
	own := spec.Hold{Rule: spec.NewRule{Name: "vault.fields"}, Subject: "certificate.api", Message: "a.hcl:9: no"}
	for name, test := range map[string]struct {
		held []spec.Hold
		kind ledger.Kind
		want ledger.Kind
	}{
		"nothing is held":              {nil, ledger.KindRenew, ledger.KindRenew},
		"a renewal":                    {[]spec.Hold{block}, ledger.KindRenew, ledger.KindHold},
		"a first issue":                {[]spec.Hold{block}, ledger.KindIssue, ledger.KindHold},
		"a revocation":                 {[]spec.Hold{block}, ledger.KindRevoke, ledger.KindHold},
		"what certroll wrote, back":    {[]spec.Hold{block}, ledger.KindRepair, ledger.KindRepair},
		"nothing to do":                {[]spec.Hold{block}, ledger.KindNone, ledger.KindNone},
		"its own fields, written back": {[]spec.Hold{own}, ledger.KindRepair, ledger.KindHold},
		"its own fields, adopted":      {[]spec.Hold{own}, ledger.KindAdopt, ledger.KindHold},
	} {
		a := plan.HoldByRule(&plan.Situation{Spec: &spec.Certificate{Name: "api", Held: test.held}, Now: now}, plan.Action{Kind: test.kind, Certificate: "api"})
		if a.Kind != test.want {
			t.Errorf("%s: %s, want %s", name, a.Kind, test.want)
		}
		if a.Kind == ledger.KindHold && (a.Wants != test.kind || a.Reason != ledger.ReasonNewRule || !a.NotBefore.After(now) || a.Detail != test.held[0].Message) {
			t.Errorf("%s: %+v", name, a)
		}
		if a.Kind == ledger.KindRepair && len(test.held) > 0 && !a.OrderFrom.After(now) {
			t.Errorf("%s: it may order from %s", name, a.OrderFrom)
		}
	}
}

// TestRuleEvents checks that a new rule's event comes before anything is due, once per
// block and day, with severity page and the line for certroll.hcl.
func TestRuleEvents(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	h := spec.Hold{Rule: spec.NewRule{Name: "trust.endpoints"}, Subject: "dns.pdns", Message: `write trust { endpoints = ["pdns:443"] }`}
	actions := []plan.Action{
		{Kind: ledger.KindNone, Certificate: "a", Spec: &spec.Certificate{Name: "a", Held: []spec.Hold{h}}},
		{Kind: ledger.KindHold, Reason: ledger.ReasonNewRule, HeldBy: plan.RuleSubject(h), Certificate: "b", Spec: &spec.Certificate{Name: "b", Held: []spec.Hold{h}}},
		{Kind: ledger.KindNone, Certificate: "c", Spec: &spec.Certificate{Name: "c"}},
	}
	if e := limiter.HeldTogether(actions, now); len(e) != 0 {
		t.Errorf("it is told twice: %+v", e)
	}
	events := plan.RuleEvents(actions, now)
	if len(events) != 1 || strings.Join(events[0].Certificates, " ") != "a b" || events[0].Severity != ledger.SeverityPage || events[0].Message != h.Message || events[0].Reason != ledger.ReasonNewRule {
		t.Fatalf("told: %+v", events)
	}
	if again := plan.RuleEvents(actions, now.Add(time.Hour)); again[0].ID != events[0].ID {
		t.Error("it is told each hour")
	}
	if kinds := (&outbox.Classifier{Held: map[string]*outbox.OpenHold{}}).OfHold(events[0]); len(kinds) != 2 || kinds[0] != outbox.NoticePaging {
		t.Errorf("a person is told as %v", kinds)
	}
}

package view

import (
	"strings"
	"testing"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/spec"
)

// TestPauseWords: the text of a pause says what the pause does and names its last day.
func TestPauseWords(t *testing.T) {
	day, at := time.Date(2026, 12, 25, 0, 0, 0, 0, time.UTC), time.Date(2026, 12, 24, 18, 0, 0, 0, time.UTC)
	note := func(name string, reason ledger.Reason, until time.Time) plan.Action {
		return plan.Action{Certificate: name, Kind: ledger.KindNote, Reason: reason, Spec: &spec.Certificate{Name: name, Renewal: spec.Renewal{Until: until}}}
	}
	for name, c := range map[string]struct {
		actions []plan.Action
		want    []string
	}{
		"a day":      {[]plan.Action{note("api", ledger.ReasonPauseBegan, day)}, []string{"~ api  renewal will be off through 2026-12-24\n", "Plan: 1 setting changes, nothing is issued.\n"}},
		"a time":     {[]plan.Action{note("api", ledger.ReasonPauseBegan, at)}, []string{"renewal will be off until 2026-12-24T18:00:00Z\n"}},
		"no end":     {[]plan.Action{note("api", ledger.ReasonPauseBegan, time.Time{})}, []string{"renewal will be off without an end\n"}},
		"two":        {[]plan.Action{note("a", ledger.ReasonPauseBegan, day), note("b", ledger.ReasonPauseEnded, day)}, []string{"renewal will be on again", "Plan: 2 settings change, nothing is issued.\n"}},
		"beside":     {[]plan.Action{note("a", ledger.ReasonPauseBegan, day), {Certificate: "b", Kind: ledger.KindIssue, Reason: ledger.ReasonMissing, Detail: "x"}}, []string{"Plan: 1 to issue, 1 setting changes.\n", "why     new: x\n"}},
		"no setting": {[]plan.Action{note("a", ledger.ReasonLeftAlone, day)}, []string{"will be recorded in the ledger", "Plan: 1 to record.\n"}},
	} {
		var b strings.Builder
		WritePlan(&b, Palette{}, NewPlan("", day, c.actions, nil))
		for _, want := range c.want {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%s: %q is missing in\n%s", name, want, b.String())
			}
		}
	}
	if got := (Setting{Field: "renewal.until"}).shown("2027-01-01T00:00:00Z"); got != "through 2026-12-31" {
		t.Error(got)
	}
}

package view

import (
	"io"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/spec/text"
)

// ExplanationSchema is the version of the JSON of explain.
const ExplanationSchema = 1

// Explanation explains a certificate's planned action.
type Explanation struct {
	Schema      int       `json:"schema"`
	Certificate string    `json:"certificate"`
	Revision    string    `json:"revision"`
	Time        time.Time `json:"time"`
	Rules       []Rule    `json:"rules"` // in the order of evaluation; none if the spec no longer has it
	Plan        Action    `json:"plan"`  // the resulting action, as in plan --json
	HeldBack    bool      `json:"held_back"`
}

// Rule is the verdict of one rule.
type Rule struct {
	Rule    string `json:"rule"`
	Saw     string `json:"saw"`
	Hit     bool   `json:"hit"`     // it matches
	Decides bool   `json:"decides"` // the first match
	Action  string `json:"action"`  // of a matching rule
	Reason  string `json:"reason"`
	Detail  string `json:"detail"`
}

// NewExplanation builds the view of the rules' verdicts and the resulting action.
func NewExplanation(revision string, now time.Time, verdicts []plan.Verdict, action plan.Action) Explanation {
	dto := Explanation{
		Schema: ExplanationSchema, Certificate: action.Certificate, Revision: revision, Time: now.UTC().Truncate(time.Second),
		Rules: make([]Rule, 0, len(verdicts)), Plan: newAction(action), HeldBack: action.Kind == ledger.KindHold,
	}
	decided := false
	for _, v := range verdicts {
		r := Rule{Rule: v.Rule, Saw: v.Saw, Hit: v.Hit, Decides: v.Hit && !decided}
		if v.Hit {
			r.Action, r.Reason, r.Detail = string(v.Kind), string(v.Reason), v.Detail
			decided = true
		}
		dto.Rules = append(dto.Rules, r)
	}
	return dto
}

// WriteExplanation prints an explanation as text: the action, its time and reason, then
// the rules. verbose keeps the digests that the rules compared.
func WriteExplanation(w io.Writer, p Palette, dto Explanation, verbose bool) {
	out := printer{w}
	out.f("%s  %s%s\n", p.bold(dto.Certificate), outcome(dto.Plan), howFar(dto.Plan, dto.Time))
	for _, line := range dto.because() {
		out.f("  %s\n", hang(line, 2))
	}
	for _, warning := range dto.Plan.Warnings {
		out.f("%s %s\n", p.yellow("!"), hang(warning, 2))
	}
	if len(dto.Rules) == 0 {
		return
	}
	out.f("\nThe rules, in the order of evaluation; the first that matches decides:\n")
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for _, r := range dto.Rules {
		mark := " "
		if r.Decides {
			mark = ">"
		}
		if !verbose {
			r.Saw = digests.ReplaceAllString(r.Saw, "")
		}
		rule, verdict := mark+" "+r.Rule, says(r)
		for saw := range strings.SplitSeq(wrap(text.Line(r.Saw), 66), "\n") {
			printer{tw}.f("%s\t%s\t%s\n", rule, verdict, saw)
			rule, verdict = "", ""
		}
	}
	_ = tw.Flush()
}

// digests matches text that is of no use to people.
var digests = regexp.MustCompile(`\bnames digest [0-9a-f]+, `)

// because returns the sentences under the answer: the hold, and the deciding rule. It
// omits repetitions.
func (dto *Explanation) because() []string {
	var lines []string
	if dto.HeldBack {
		lines = append(lines, sprint("Held back (%s): %s", dto.Plan.Reason, dto.Plan.Detail))
	}
	decided := slices.IndexFunc(dto.Rules, func(r Rule) bool { return r.Decides })
	switch {
	case decided < 0 && !dto.HeldBack:
		lines = append(lines, sprint("No rule applies: %s.", dto.Plan.Detail))
	case decided >= 0 && dto.HeldBack && dto.Rules[decided].Detail == dto.Plan.Detail:
		lines = append(lines, sprint("Decided by %q.", dto.Rules[decided].Rule))
	case decided >= 0:
		lines = append(lines, sprint("Decided by %q: %s.", dto.Rules[decided].Rule, dto.Rules[decided].Detail))
	}
	return lines
}

// howFar returns the time until the action.
func howFar(a Action, now time.Time) string {
	if a.NotBefore == nil || !a.NotBefore.After(now) || ledger.Reason(a.Reason).WaitsForAPerson() {
		return ""
	}
	return " (in " + text.TimeLeft(a.NotBefore.Sub(now)) + ")"
}

func outcome(a Action) string {
	if v := verb(a); v != "" {
		return v
	}
	if a.NotBefore != nil {
		return "nothing to do until " + text.Stamp(*a.NotBefore)
	}
	return "nothing to do"
}

func says(r Rule) string {
	if !r.Hit {
		return "-"
	}
	return sprint("%s (%s)", r.Action, r.Reason)
}

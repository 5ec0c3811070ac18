package view

import (
	"io"
	"slices"
	"sort"
	"time"

	"certroll/reconcile/apply"
	"certroll/reconcile/ledger"
	"certroll/spec/text"
)

// ResultSchema is the version of the result's JSON.
const ResultSchema = 1

// Result is the result of an apply. Arrays are never null.
type Result struct {
	Schema      int            `json:"schema"`
	Plan        Plan           `json:"plan"`
	Results     []ledger.Event `json:"results"`
	Succeeded   int            `json:"succeeded"`
	Failed      int            `json:"failed"`
	Interrupted int            `json:"interrupted"` // left to the next run
	Held        int            `json:"held"`        // not tried, because their issuer or DNS account fails for others
	Overtaken   int            `json:"overtaken"`   // not started, because another process changed their objects
	Commit      string         `json:"ledger_commit"`
	// Unrecorded are results in neither the ledger nor the journal. A successful one is
	// live all the same, and the next run records it.
	Unrecorded []Unrecorded `json:"unrecorded"`
}

// Unrecorded is a result that is not recorded.
type Unrecorded struct {
	Certificate string `json:"certificate"`
	Error       string `json:"error"`
}

// NewResult builds the view of a report.
func NewResult(plan Plan, report *apply.Report) Result {
	r := Result{Schema: ResultSchema, Plan: plan, Results: []ledger.Event{}, Unrecorded: []Unrecorded{}}
	if report == nil {
		return r
	}
	r.Failed, r.Interrupted, r.Commit = report.Failed(), report.Interrupted, report.Commit
	r.Succeeded, r.Held, r.Overtaken = len(report.Results)-r.Failed, report.Held, report.Overtaken
	for _, res := range report.Results {
		r.Results = append(r.Results, res.Event)
		if res.Unrecorded != nil {
			r.Unrecorded = append(r.Unrecorded, Unrecorded{res.Action.Certificate, res.Unrecorded.Error()})
		}
	}
	sort.Slice(r.Unrecorded, func(i, j int) bool { return r.Unrecorded[i].Certificate < r.Unrecorded[j].Certificate })
	sort.Slice(r.Results, func(i, j int) bool { return r.Results[i].Certificate < r.Results[j].Certificate })
	return r
}

// WriteResult prints a result as text: failures in the upstream's words, then the
// totals.
func WriteResult(w io.Writer, p Palette, r Result) {
	out := printer{w}
	for _, e := range r.Results {
		if e.Status == ledger.Success {
			out.f("%s %s: %s%s%s\n", p.green("ok"), p.bold(e.Certificate), e.Operation, serials(e), r.liveOnly(e.Certificate))
		}
	}
	for _, e := range r.Results {
		if e.Status != ledger.Success {
			out.f("%s %s: %s failed (%s)\n%s\n", p.red("Error:"), p.bold(e.Certificate), e.Operation, e.Class, indent(wrap(text.Lines(e.Message), textWidth), "  "))
		}
	}
	for i, u := range r.Unrecorded {
		if i == 0 || u.Error != r.Unrecorded[i-1].Error {
			out.f("%s %s\n", p.red("Not recorded:"), hang(u.Error, 2))
		}
	}
	if len(r.Results)+r.Interrupted+r.Held+r.Overtaken == 0 {
		return
	}
	out.f("%s %d done, %d failed", p.bold("Apply:"), r.Succeeded, r.Failed)
	for _, more := range []struct {
		n    int
		what string
	}{
		{r.Interrupted, "left to the next run"}, {r.Held, "held back, as their issuer or DNS account fails for others"},
		{len(r.Unrecorded), "not recorded in the ledger, which the next run makes up for"},
		{r.Overtaken, "done or changed by another process meanwhile"},
	} {
		if more.n > 0 {
			out.f(", %d %s", more.n, more.what)
		}
	}
	if r.Commit != "" {
		out.f("; ledger at %s", r.Commit[:min(12, len(r.Commit))])
	}
	out.f(".\n")
}

// liveOnly marks an unrecorded success as live.
func (r Result) liveOnly(certificate string) string {
	if !slices.ContainsFunc(r.Unrecorded, func(u Unrecorded) bool { return u.Certificate == certificate }) {
		return ""
	}
	return "; live, but not recorded"
}

func serials(e ledger.Event) string {
	switch {
	case e.NewSerial == "":
		return ""
	case e.OldSerial == "" || e.OldSerial == e.NewSerial:
		return sprint(", serial %s, %s version %d", shortSerial(e.NewSerial), e.VaultPath, e.VaultVer)
	default:
		return sprint(", serial %s -> %s, %s version %d", shortSerial(e.OldSerial), shortSerial(e.NewSerial), e.VaultPath, e.VaultVer)
	}
}

// WriteProgress prints a certificate's present step.
func WriteProgress(w io.Writer, p Palette, since time.Duration, certificate, step, detail string) {
	printer{w}.f("%s %s: %s\n", p.dim(sprint("%6.1fs %-8s", since.Seconds(), step)), text.Line(certificate), text.Line(detail))
}

package view

import (
	"io"
	"sort"
	"time"

	"certroll/reconcile"
)

// ResultSchema is the version of the result's JSON shape.
const ResultSchema = 1

// Result is how an apply ended. Arrays are never null.
type Result struct {
	Schema      int               `json:"schema"`
	Plan        Plan              `json:"plan"`
	Results     []reconcile.Event `json:"results"`
	Succeeded   int               `json:"succeeded"`
	Failed      int               `json:"failed"`
	Interrupted int               `json:"interrupted"` // left to the next run
	Held        int               `json:"held"`        // not tried, as their issuer or DNS account fails for others
	Overtaken   int               `json:"overtaken"`   // not taken up, as somebody else changed what they were about
	Commit      string            `json:"ledger_commit"`
}

// NewResult builds the view of a report.
func NewResult(plan Plan, report *reconcile.Report) Result {
	r := Result{Schema: ResultSchema, Plan: plan, Results: []reconcile.Event{}}
	if report == nil {
		return r
	}
	r.Failed, r.Interrupted, r.Commit = report.Failed(), report.Interrupted, report.Commit
	r.Succeeded, r.Held, r.Overtaken = len(report.Results)-r.Failed, report.Held, report.Overtaken
	for _, res := range report.Results {
		r.Results = append(r.Results, res.Event)
	}
	sort.Slice(r.Results, func(i, j int) bool { return r.Results[i].Certificate < r.Results[j].Certificate })
	return r
}

// WriteResult prints a result for a person: what failed with the upstream's
// words, then the sum.
func WriteResult(w io.Writer, p Palette, r Result) {
	out := printer{w}
	for _, e := range r.Results {
		if e.Status == reconcile.Success {
			out.f("%s %s: %s%s\n", p.green("ok"), p.bold(e.Certificate), e.Operation, serials(e))
		}
	}
	for _, e := range r.Results {
		if e.Status != reconcile.Success {
			out.f("%s %s: %s failed (%s)\n%s\n", p.red("Error:"), p.bold(e.Certificate), e.Operation, e.Class, indent(wrap(e.Message, textWidth), "  "))
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
		{r.Overtaken, "done or changed by somebody else meanwhile"},
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

func serials(e reconcile.Event) string {
	switch {
	case e.NewSerial == "":
		return ""
	case e.OldSerial == "" || e.OldSerial == e.NewSerial:
		return sprint(", serial %s, %s version %d", shortSerial(e.NewSerial), e.VaultPath, e.VaultVer)
	default:
		return sprint(", serial %s -> %s, %s version %d", shortSerial(e.OldSerial), shortSerial(e.NewSerial), e.VaultPath, e.VaultVer)
	}
}

// WriteProgress prints what a certificate waits for.
func WriteProgress(w io.Writer, p Palette, since time.Duration, certificate, step, detail string) {
	printer{w}.f("%s %s: %s\n", p.dim(sprint("%6.1fs %-8s", since.Seconds(), step)), certificate, detail)
}

package view

import (
	"io"

	"certroll/reconcile/doctor"
	"certroll/reconcile/ledger"
	"certroll/spec/text"
)

// ExaminationSchema is the version of the examination's JSON.
const ExaminationSchema = 1

// Examination is the result of doctor. Arrays are never null.
type Examination struct {
	Schema       int              `json:"schema"`
	Revision     string           `json:"revision"` // "" for a plain directory outside Git
	Certificates int              `json:"certificates"`
	Canaries     int              `json:"canaries"`
	Incomplete   bool             `json:"incomplete"` // time ran out before all checks were done
	Errors       int              `json:"errors"`
	Warnings     int              `json:"warnings"`
	Findings     []ledger.Finding `json:"findings"` // worst first
}

// NewExamination builds the view of an examination.
func NewExamination(revision string, x *doctor.Examination) Examination {
	return Examination{
		Schema: ExaminationSchema, Revision: revision, Certificates: x.Certificates, Canaries: x.Canaries, Incomplete: x.Incomplete,
		Errors: x.Count(ledger.SeverityError), Warnings: x.Count(ledger.SeverityWarning),
		Findings: append([]ledger.Finding{}, x.Findings...),
	}
}

// WriteExamination prints an examination as text: the findings, worst first, then the
// totals.
func WriteExamination(w io.Writer, p Palette, x Examination) {
	out := printer{w}
	for _, f := range x.Findings {
		writeFinding(out, p, f)
	}
	looked := text.Counted(x.Certificates, "certificate") + " checked, " + canaries(x.Canaries)
	switch {
	case x.Incomplete:
		out.f("%s %s, then time ran out: %s, %s so far.\n", p.yellow("Doctor:"), looked, text.Counted(x.Errors, "error"), text.Counted(x.Warnings, "warning"))
	case x.Errors+x.Warnings == 0:
		out.f("%s %s: nothing stands in the way of a renewal.\n", p.green("ok"), looked)
	default:
		out.f("%s %s: %s, %s.\n", p.bold("Doctor:"), looked, text.Counted(x.Errors, "error"), text.Counted(x.Warnings, "warning"))
	}
}

func canaries(n int) string {
	switch n {
	case 0:
		return "no canary tried"
	case 1:
		return "1 canary tried"
	}
	return sprint("%d canaries tried", n)
}

func writeFinding(out printer, p Palette, f ledger.Finding) {
	head := map[ledger.Severity]string{
		ledger.SeverityError: p.red("Error:"), ledger.SeverityWarning: p.yellow("Warning:"), ledger.SeverityInfo: p.cyan("Note:"),
	}[f.Severity]
	out.f("%s %s (%s)\n%s\n", head, p.bold(f.About), f.Class, indent(wrap(f.Message, textWidth), "  "))
	if f.Advice != "" {
		out.f("  %s\n%s\n", p.dim("what to do"), indent(wrap(f.Advice, 92), "    "))
	}
	out.f("  %s %s\n\n", p.dim(sprint("touches %s:", text.Counted(len(f.Certificates), "certificate"))), text.Some(f.Certificates, 5)+ofNames(f.Names))
}

func ofNames(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return " (" + text.Some(names, 3) + ")"
}

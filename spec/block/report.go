package block

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/hcl/v2"

	"certroll/spec/eval"
	"certroll/spec/text"
)

// Over reports whether decoding should end: the budget or the time is exhausted, or there
// are more mistakes than certroll shows.
func (s *Scope) Over() bool {
	return s.Exhausted || s.reported[hcl.DiagError] > MaxDiagnostics || s.faults > 5*MaxDiagnostics || s.Budget.Stopped()
}

// Fault reports a mistake. summary is one of a fixed set; detail names the object.
func (s *Scope) Fault(at, block *hcl.Range, summary, format string, args ...any) {
	detail := fmt.Sprintf(format, args...)
	s.faults++
	if !s.Exhausted && !s.Budget.Afford(perFault+int64(len(detail))) { // each certificate of a for_each costs its own
		s.outOfWork(cmp.Or(at, block, &hcl.Range{}), block)
	}
	s.Report(&hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: detail, Subject: at, Context: block})
}

// Report adds diagnostics, each once: a mistake in a block with for_each occurs in every
// instance. Warnings and mistakes have separate counts, so that many warnings neither
// reject a revision nor hide a mistake.
func (s *Scope) Report(diags ...*hcl.Diagnostic) {
	for _, diag := range diags {
		diag.Detail = text.Cut(diag.Detail, maxDetail)
		key := diag.Summary + "\x00" + diag.Detail
		if diag.Subject != nil {
			key = diag.Subject.String() + "\x00" + key
		}
		n := s.reported[diag.Severity]
		if s.seen[key] || n > MaxDiagnostics {
			continue
		}
		s.seen[key], s.reported[diag.Severity] = true, n+1
		if n == MaxDiagnostics {
			diag = tooMany(diag.Severity)
		}
		s.Diags = append(s.Diags, diag)
	}
}

func tooMany(severity hcl.DiagnosticSeverity) *hcl.Diagnostic {
	summary, what := "Too many mistakes", "mistakes"
	if severity == hcl.DiagWarning {
		summary, what = "Too many warnings", "warnings"
	}
	return &hcl.Diagnostic{Severity: severity, Summary: summary, Detail: fmt.Sprintf("There are more than %d %s; the rest is not shown.", MaxDiagnostics, what)}
}

// maxDetail is the longest text of a mistake, in bytes. The text quotes the file, which
// may contain a name of a megabyte.
const maxDetail = 4_000

// Sort orders diagnostics by file and position; diagnostics without a place come last.
func (s *Scope) Sort() {
	slices.SortStableFunc(s.Diags, func(a, b *hcl.Diagnostic) int {
		if a.Subject == nil || b.Subject == nil {
			switch {
			case a.Subject != nil:
				return -1
			case b.Subject != nil:
				return 1
			}
			return 0
		}
		return cmp.Or(cmp.Compare(a.Subject.Filename, b.Subject.Filename), cmp.Compare(a.Subject.Start.Byte, b.Subject.Start.Byte))
	})
}

// Afford takes steps for work other than evaluation. If they are not left, it reports
// that once, at the given place.
func (s *Scope) Afford(steps int64, at hcl.Range, block *hcl.Range) bool {
	if !s.Budget.Afford(steps) {
		s.outOfWork(at.Ptr(), block)
		return false
	}
	return true
}

// outOfWork reports, once, why evaluation ended.
func (s *Scope) outOfWork(at *hcl.Range, block *hcl.Range) {
	if s.Exhausted {
		return
	}
	s.Exhausted = true
	if s.Budget.Interrupted() {
		s.ReportLate(at, block)
		return
	}
	s.Fault(at, block, "Too much to compute",
		"Evaluating this revision takes more than %d steps, of about 20 ns each: %d and %d for each byte of its files. The last of them were taken here. Loop over less, call costly functions (regexall, setproduct, sort) on less, or write the values down.",
		s.Budget.Steps, eval.BaseWork, eval.WorkPerByte)
}

// ReportLate reports that decoding was stopped before it was complete.
func (s *Scope) ReportLate(at, block *hcl.Range) {
	if s.Budget.Expired() {
		s.Fault(at, block, "Decoding took too long",
			"Decoding this revision was not done after %s, and was stopped here. Loop over less, or set a longer decode_timeout in certroll.hcl.", s.Budget.Elapsed().Round(time.Second))
		return
	}
	s.Fault(at, block, "Decoding was stopped", "certroll was stopped before it had decoded this revision.")
}

// The steps of the decoder's own work around evaluations.
const (
	perEval     = 300
	PerSource   = 10    // a byte of an expression, searched for names
	PerName     = 300   // parsing a domain
	PerMatching = 20    // comparing a name with a pattern of a policy, or similar
	PerInstance = 4_000 // decoding a certificate
	perFault    = 300   // formatting a mistake
)

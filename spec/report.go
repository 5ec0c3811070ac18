package spec

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
)

// over tells whether there is no use in going on: the budget or the time has
// ended, or there are more mistakes than are shown.
func (s *scope) over() bool {
	return s.exhausted || s.reported[hcl.DiagError] > maxDiagnostics || s.faults > 5*maxDiagnostics || s.budget.stopped()
}

// fault reports a mistake. summary is one of a fixed few; what it is about
// stands in the detail.
func (s *scope) fault(at, block *hcl.Range, summary, format string, args ...any) {
	detail := fmt.Sprintf(format, args...)
	s.faults++
	if !s.exhausted && !s.budget.afford(perFault+int64(len(detail))) { // each certificate of a for_each has its own
		s.outOfWork(cmp.Or(at, block, &hcl.Range{}), block)
	}
	s.report(&hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: detail, Subject: at, Context: block})
}

// report keeps diagnostics, each once: what is wrong in a block with for_each
// is wrong in every instance. Warnings and mistakes are counted apart: many warnings
// must not reject a revision, nor hide a mistake.
func (s *scope) report(diags ...*hcl.Diagnostic) {
	for _, diag := range diags {
		diag.Detail = bounded(diag.Detail)
		key := diag.Summary + "\x00" + diag.Detail
		if diag.Subject != nil {
			key = diag.Subject.String() + "\x00" + key
		}
		n := s.reported[diag.Severity]
		if s.seen[key] || n > maxDiagnostics {
			continue
		}
		s.seen[key], s.reported[diag.Severity] = true, n+1
		if n == maxDiagnostics {
			diag = tooMany(diag.Severity)
		}
		s.diags = append(s.diags, diag)
	}
}

func tooMany(severity hcl.DiagnosticSeverity) *hcl.Diagnostic {
	summary, what := "Too many mistakes", "mistakes"
	if severity == hcl.DiagWarning {
		summary, what = "Too many warnings", "warnings"
	}
	return &hcl.Diagnostic{Severity: severity, Summary: summary, Detail: fmt.Sprintf("There are more than %d %s; the rest is not shown.", maxDiagnostics, what)}
}

// maxDetail is how long the text of a mistake may be: it quotes what people
// wrote, which may be a name of a megabyte.
const maxDetail = 4_000

func bounded(text string) string {
	if len(text) <= maxDetail {
		return text
	}
	return strings.ToValidUTF8(text[:maxDetail], "") + "..."
}

// sort brings diagnostics into the order of the files' text.
func (s *scope) sort() {
	slices.SortStableFunc(s.diags, func(a, b *hcl.Diagnostic) int {
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

// afford takes steps for what is no evaluation. Where they are not to be had it
// says so, once, at that place.
func (s *scope) afford(steps int64, at hcl.Range, block *hcl.Range) bool {
	if !s.budget.afford(steps) {
		s.outOfWork(at.Ptr(), block)
		return false
	}
	return true
}

// outOfWork says why nothing more is evaluated.
func (s *scope) outOfWork(at *hcl.Range, block *hcl.Range) {
	if s.exhausted {
		return
	}
	s.exhausted = true
	if s.budget.interrupted() {
		s.late(at, block)
		return
	}
	s.fault(at, block, "Too much to compute",
		"Evaluating this revision takes more than %d steps, of about 20 ns each: %d and %d for each byte of its files. The last of them were taken here. Loop over less, call costly functions (regexall, setproduct, sort) on less, or write the values down.",
		s.budget.all, baseWork, workPer)
}

// late says that decoding was stopped before it was done.
func (s *scope) late(at, block *hcl.Range) {
	if s.budget.expired() {
		s.fault(at, block, "Decoding took too long",
			"Decoding this revision was not done after %s, and was stopped here. Loop over less, or set a longer decode_timeout in certroll.hcl.", s.budget.elapsed().Round(time.Second))
		return
	}
	s.fault(at, block, "Decoding was stopped", "certroll was told to stop before this revision was decoded.")
}

// The steps of what the decoder does around evaluations.
const (
	perEval     = 300
	perSource   = 10    // a byte of an expression, looked through for names
	perName     = 300   // a domain, read
	perMatching = 20    // a name held against a pattern of a policy, or the like
	perInstance = 4_000 // a certificate, decoded
	perFault    = 300   // a mistake, written
)

package view

import (
	"io"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"certroll/spec/text"
)

// AnnotateDiagnostics prints diagnostics as workflow commands of GitHub Actions.
// directory is the files' directory in the repository; own is the path of certroll.hcl,
// as given.
func AnnotateDiagnostics(w io.Writer, directory, own string, diags hcl.Diagnostics) {
	for _, d := range diags {
		if d.Subject == nil {
			continue
		}
		level := "error"
		if d.Severity == hcl.DiagWarning {
			level = "warning"
		}
		at := Note{File: fileOf(d.Subject, directory, own), Line: d.Subject.Start.Line, Column: d.Subject.Start.Column}
		printer{w}.f("::%s %stitle=%s::%s\n", level, annotationPlace(at), property("certroll: "+d.Summary), data(d.Detail))
	}
}

// fileOf returns the file of a diagnostic, relative to the repository's root.
func fileOf(at *hcl.Range, directory, own string) string {
	if at.Filename == own {
		return own
	}
	return inRepo(directory, at.Filename)
}

// WriteAnnotations prints a plan as workflow commands of GitHub Actions: a warning at
// the file and line of each remark, then the headline.
func WriteAnnotations(w io.Writer, plan Plan) {
	out := printer{w}
	for _, r := range plan.Review {
		out.f("::warning %stitle=%s::%s\n", annotationPlace(r), property("certroll: "+r.title()), data(r.subject()))
	}
	for _, warning := range plan.Warnings {
		out.f("::warning title=certroll::%s\n", data(warning))
	}
	out.f("::notice title=certroll::%s\n", data(plan.headline()))
}

// annotationPlace omits a line of the base revision, since the change has other lines.
func annotationPlace(r Note) string {
	if r.File == "" || r.InBase {
		return ""
	}
	place := "file=" + property(r.File) + ","
	if r.Line > 0 {
		place += sprint("line=%d,", r.Line)
	}
	if r.Line > 0 && r.Column > 0 {
		place += sprint("col=%d,", r.Column)
	}
	return place
}

// maxAnnotation bounds one message, in runes.
const maxAnnotation = 2000

// data and property escape as GitHub's own toolkit does.
func data(s string) string { return ofData.Replace(text.Clip(text.Lines(s), maxAnnotation)) }

func property(s string) string { return ofProperty.Replace(data(s)) }

var (
	ofData     = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	ofProperty = strings.NewReplacer(":", "%3A", ",", "%2C")
)

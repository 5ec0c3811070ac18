package view

import (
	"github.com/hashicorp/hcl/v2"
)

// ValidationSchema is the version of the JSON of validate.
const ValidationSchema = 1

// Validation is the result of validate. Arrays are never null.
type Validation struct {
	Schema       int          `json:"schema"`
	Valid        bool         `json:"valid"`
	Directory    string       `json:"directory"` // as given; "-" for standard input
	Files        int          `json:"files"`
	Certificates int          `json:"certificates"` // 0 if not valid
	Errors       int          `json:"errors"`
	Warnings     int          `json:"warnings"`
	Diagnostics  []Diagnostic `json:"diagnostics"` // in the order of files and lines
}

// Diagnostic is one error or warning. It omits the source text, which may contain a
// secret.
type Diagnostic struct {
	Severity  string `json:"severity"` // error, warning
	Summary   string `json:"summary"`  // from a fixed list
	Detail    string `json:"detail"`
	File      string `json:"file"` // from the root of the repository; "": no place
	Line      int    `json:"line"` // from 1; 0: no place
	Column    int    `json:"column"`
	EndLine   int    `json:"end_line"`
	EndColumn int    `json:"end_column"` // the first column after the range
}

// NewValidation builds the view of a validation. repository is the files' directory in
// their repository, own the path of certroll.hcl.
func NewValidation(directory, repository, own string, files, certificates int, diags hcl.Diagnostics) Validation {
	v := Validation{Schema: ValidationSchema, Valid: !diags.HasErrors(), Directory: directory, Files: files, Certificates: certificates,
		Diagnostics: make([]Diagnostic, 0, len(diags))}
	for _, d := range diags {
		one := Diagnostic{Severity: "error", Summary: d.Summary, Detail: d.Detail}
		if d.Severity == hcl.DiagWarning {
			one.Severity = "warning"
			v.Warnings++
		} else {
			v.Errors++
		}
		if at := d.Subject; at != nil {
			one.File, one.Line, one.Column = fileOf(at, repository, own), at.Start.Line, at.Start.Column
			one.EndLine, one.EndColumn = at.End.Line, at.End.Column
		}
		v.Diagnostics = append(v.Diagnostics, one)
	}
	return v
}

package spec

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Parse parses one file within the bounds of a config repo. The body is nil if there is
// an error.
func Parse(f File) (*hclsyntax.Body, hcl.Diagnostics) {
	if diag := scan(f); diag != nil {
		return nil, hcl.Diagnostics{diag}
	}
	file, diags := hclsyntax.ParseConfig(f.Bytes, f.Path, hcl.InitialPos)
	if !diags.HasErrors() {
		return file.Body.(*hclsyntax.Body), diags
	}
	tokens, _ := hclsyntax.LexConfig(f.Bytes, f.Path, hcl.InitialPos)
	return nil, heredoc(unclosedQuote(diags, tokens), tokens)
}

// unclosedQuote replaces HCL's diagnostics for an unclosed quote by one error at that
// quote. HCL reports an error for each line up to the end of the file.
func unclosedQuote(diags hcl.Diagnostics, tokens hclsyntax.Tokens) hcl.Diagnostics {
	open := openQuote(tokens)
	if open == nil {
		return diags
	}
	diags = slices.DeleteFunc(diags, func(d *hcl.Diagnostic) bool {
		return d.Subject == nil || d.Subject.Start.Byte >= open.Start.Byte
	})
	if slices.ContainsFunc(diags, func(d *hcl.Diagnostic) bool { return d.Subject.Start.Line == open.Start.Line }) {
		return diags // after an earlier mistake in this line, a closing quote looks like an opening one
	}
	return append(diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Quote not closed", Subject: open,
		Detail: fmt.Sprintf("The quote that opens in column %d of line %d is not closed on that line. Close it after the text, or remove it if the text ends before it. "+
			"certroll shows other mistakes of this file once it is closed.", open.Start.Column, open.Start.Line)})
}

// openQuote returns the first quote whose text reaches beyond its line, or nil.
func openQuote(tokens hclsyntax.Tokens) *hcl.Range {
	var open []hcl.Range
	for _, t := range tokens {
		switch t.Type {
		case hclsyntax.TokenOQuote:
			open = append(open, t.Range)
		case hclsyntax.TokenCQuote:
			open = open[:max(0, len(open)-1)]
		case hclsyntax.TokenQuotedNewline, hclsyntax.TokenEOF:
			if len(open) > 0 {
				return open[len(open)-1].Ptr()
			}
		}
	}
	return nil
}

// heredoc moves HCL's error for an unterminated heredoc to the place that opens it. HCL
// points at the end of the file, which may be far away.
func heredoc(diags hcl.Diagnostics, tokens hclsyntax.Tokens) hcl.Diagnostics {
	for _, diag := range diags {
		if diag.Summary != "Unterminated template string" {
			continue
		}
		var open *hclsyntax.Token
		for i, t := range tokens {
			switch t.Type {
			case hclsyntax.TokenOHeredoc:
				open = &tokens[i]
			case hclsyntax.TokenCHeredoc:
				open = nil
			}
		}
		if open == nil {
			continue
		}
		at := open.Range
		start := strings.TrimSpace(string(open.Bytes))
		at.End = at.Start
		at.End.Column += utf8.RuneCountInString(start)
		at.End.Byte += len(start)
		diag.Subject = &at
		diag.Detail = fmt.Sprintf("The text that begins here does not end: %s has to stand in a line of its own, with nothing else in it.", strings.TrimLeft(start, "<-"))
	}
	return diags
}

package spec

import (
	"bytes"
	"fmt"
	"regexp"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"certroll/spec/eval"
)

// The bounds of a config repo. They are far above any real repo. They keep a hostile file
// from exhausting the reconciler's memory or time.
const (
	MaxFileSize     = 1 << 20   // bytes of one file
	MaxFiles        = 20_000    // files of one revision
	MaxTotalSize    = 128 << 20 // bytes of all files together
	MaxCertificates = 200_000   // after for_each
	maxTokens       = 2_000     // in one element of an expression; literals do not count
)

// scan rejects files that could exhaust the stack of HCL's recursive parser.
func scan(f File) *hcl.Diagnostic {
	if len(f.Bytes) > MaxFileSize {
		return &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "File too large",
			Detail:  fmt.Sprintf("The file has %d bytes; at most %d are read. Split it into several files: all *.hcl files of the directory belong together.", len(f.Bytes), MaxFileSize),
			Subject: &hcl.Range{Filename: f.Path, Start: hcl.InitialPos, End: hcl.InitialPos}}
	}
	// Lexer errors are left to the parser, which reports them with better messages.
	tokens, _ := hclsyntax.LexConfig(f.Bytes, f.Path, hcl.InitialPos)
	s := scanner{}
	for _, t := range tokens {
		if d := s.next(t); d != nil {
			return d
		}
	}
	return nil
}

// scanner counts open brackets, and tokens since the last separator: each operator, index
// and template directive of an element can cost the parser one level of recursion.
type scanner struct {
	brackets []hclsyntax.TokenType
	element  int
}

// next processes one token, and returns an error if the file exceeds a bound.
func (s *scanner) next(t hclsyntax.Token) *hcl.Diagnostic {
	switch t.Type {
	case hclsyntax.TokenOBrace, hclsyntax.TokenOBrack, hclsyntax.TokenOParen,
		hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl, hclsyntax.TokenOQuote, hclsyntax.TokenOHeredoc:
		s.brackets = append(s.brackets, t.Type)
	case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack, hclsyntax.TokenCParen,
		hclsyntax.TokenTemplateSeqEnd, hclsyntax.TokenCQuote, hclsyntax.TokenCHeredoc:
		if len(s.brackets) > 0 {
			s.brackets = s.brackets[:len(s.brackets)-1]
		}
	case hclsyntax.TokenNewline, hclsyntax.TokenComment:
		// A comment to the end of the line includes the newline. Comments belong to no
		// expression: long text between blocks must not count as a long expression.
		if t.Type == hclsyntax.TokenComment && !bytes.HasSuffix(t.Bytes, []byte("\n")) {
			return nil
		}
		if len(s.brackets) == 0 || s.brackets[len(s.brackets)-1] == hclsyntax.TokenOBrace {
			s.element = 0
		}
	case hclsyntax.TokenComma:
		s.element = 0
	case hclsyntax.TokenNumberLit, hclsyntax.TokenQuotedLit, hclsyntax.TokenStringLit:
		if hugeNumber.Match(t.Bytes) {
			return tooMuch(t, "Number out of range", "Numbers are written with at most two digits of exponent.")
		}
		return nil
	}
	s.element++
	switch {
	case len(s.brackets) > eval.MaxNesting:
		return tooMuch(t, "Nested too deeply", fmt.Sprintf("Brackets, quotes and templates may stand at most %d deep within each other.", eval.MaxNesting))
	case s.element > maxTokens:
		return tooMuch(t, "Expression too long", fmt.Sprintf("An expression may have at most %d parts between commas; split it into locals.", maxTokens))
	}
	return nil
}

// hugeNumber matches a number whose decimal digits would exhaust memory: HCL keeps
// numbers as big floats, and 1e999999999 is a gigabyte as text.
var hugeNumber = regexp.MustCompile(`^[-+0-9._]+[eE][-+]?[0-9]{3,}$`)

func tooMuch(t hclsyntax.Token, summary, detail string) *hcl.Diagnostic {
	return &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: detail, Subject: t.Range.Ptr()}
}

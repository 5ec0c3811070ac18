package edit

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
)

// patch is a file and the pieces of it that are replaced. hclwrite's own
// editing puts new settings at the end without a look at one-line blocks, line
// ends or indentation; so the pieces are cut by the places that the parser
// gives, and hclwrite writes the values and the alignment.
type patch struct {
	src      []byte
	newline  string
	unit     string // one level of indentation
	gap      bool   // an empty line goes before what is added
	cuts     []cut
	from, to int // what may be laid out anew
}

// cut replaces the bytes from from to to.
type cut struct {
	from, to int
	text     string
}

// assignment is a setting and its value as HCL writes it; "": it goes.
type assignment struct{ name, value string }

func newPatch(src []byte, b *hclsyntax.Block, gap bool) *patch {
	p := &patch{src: src, newline: "\n", gap: gap, from: len(src)}
	line := src
	if rest := src[b.OpenBraceRange.Start.Byte:]; bytes.IndexByte(rest, '\n') >= 0 {
		line = rest
	}
	if i := bytes.IndexByte(line, '\n'); i > 0 && line[i-1] == '\r' {
		p.newline = "\r\n"
	}
	p.unit = p.unitOf(b, "  ")
	return p
}

// replace keeps a cut, and that it may be laid out anew from there.
func (p *patch) replace(from, to int, text string) {
	p.cuts = append(p.cuts, cut{from, to, text})
	p.from, p.to = min(p.from, from), max(p.to, to)
}

// set gives an attribute another value.
func (p *patch) set(a *hclsyntax.Attribute, value string) {
	p.replace(a.Expr.Range().Start.Byte, a.SrcRange.End.Byte, value)
	p.from = min(p.from, a.NameRange.Start.Byte)
}

// rewrite puts lines where a setting or a block was.
func (p *patch) rewrite(from, to int, lines []string) {
	indent := p.indent(from)
	for i, line := range lines {
		lines[i] = indent + p.indented(line)
	}
	p.replace(from, to, strings.TrimPrefix(strings.Join(lines, p.newline), indent))
}

// add puts lines at the end of a block, which becomes one of several lines if
// it was not. A tab at the beginning of a line is one level more.
func (p *patch) add(b *hclsyntax.Block, lines []string) {
	base, unit := p.indent(b.TypeRange.Start.Byte), p.unitOf(b, p.unit)
	var text strings.Builder
	if p.gap {
		text.WriteString(p.newline)
	}
	for _, line := range lines {
		text.WriteString(base + unit + p.indented(line) + p.newline)
	}
	open, end := b.OpenBraceRange.End.Byte, b.CloseBraceRange.Start.Byte
	inner := p.src[open:end]
	before := len(bytes.TrimRight(p.src[:end], " \t"))
	switch {
	case len(bytes.TrimSpace(inner)) == 0 && !p.severalLines(b):
		p.replace(open, end, p.newline+text.String()+base)
	case !p.severalLines(b):
		p.replace(open, open+len(inner)-len(bytes.TrimLeft(inner, " \t")), p.newline+base+unit)
		p.replace(before, end, p.newline+text.String()+base)
	case p.src[before-1] == '\n':
		p.replace(before, before, text.String())
	default: // a comment stands before the brace
		p.replace(end, end, p.newline+text.String()+base)
	}
}

func (p *patch) indented(line string) string {
	if rest, ok := strings.CutPrefix(line, "\t"); ok {
		return p.unit + rest
	}
	return line
}

// renewal makes settings in a block's renewal block.
func (p *patch) renewal(b *hclsyntax.Block, settings []assignment) {
	inner := innerBlock(b, "renewal")
	missing, gone := p.assign(inner, settings)
	switch {
	case inner != nil && len(missing) > 0:
		p.add(inner, missing)
	case inner != nil && gone == len(inner.Body.Attributes) && !p.commented(inner):
		p.cuts = nil
		p.drop(inner.TypeRange.Start.Byte, inner.CloseBraceRange.End.Byte)
	case inner == nil && len(missing) > 0:
		p.add(b, append(append([]string{"renewal {"}, indentAll(missing)...), "}"))
	}
}

// assign makes settings in a block, or nil, as far as they are there; missing are the lines
// of those that are not, and gone is how many were taken out.
func (p *patch) assign(b *hclsyntax.Block, settings []assignment) (missing []string, gone int) {
	width := 0
	for _, s := range settings {
		if s.value != "" {
			width = max(width, len(s.name))
		}
	}
	for _, s := range settings {
		var a *hclsyntax.Attribute
		if b != nil {
			a = b.Body.Attributes[s.name]
		}
		switch {
		case a == nil && s.value != "":
			missing = append(missing, fmt.Sprintf("%-*s = %s", width, s.name, s.value))
		case a != nil && s.value != "":
			p.set(a, s.value)
		case a != nil:
			gone++
			p.drop(a.NameRange.Start.Byte, a.SrcRange.End.Byte)
		}
	}
	return missing, gone
}

func indentAll(lines []string) []string {
	for i := range lines {
		lines[i] = "\t" + lines[i]
	}
	return lines
}

// drop takes whole lines away, with a comment at their end, and the empty line
// before them that would be one too many.
func (p *patch) drop(from, to int) {
	start := len(bytes.TrimRight(p.src[:from], " \t"))
	end := p.lineEnd(to)
	if start > 0 && p.src[start-1] != '\n' {
		p.replace(from, to, "")
		return
	}
	above := bytes.TrimRight(p.src[:start], " \t\r\n")
	next := bytes.TrimLeft(p.src[end:], " \t")
	if bytes.Count(p.src[len(above):start], []byte("\n")) > 1 && (len(next) == 0 || bytes.IndexByte([]byte("\r\n}"), next[0]) >= 0) {
		line := bytes.TrimRight(p.src[:start-1], " \t\r")
		start = len(line)
	}
	p.replace(start, end, "")
}

// lineEnd is where the line ends that a setting or block ends in.
func (p *patch) lineEnd(at int) int {
	for _, t := range p.tokens(at) {
		switch {
		case t.Type == hclsyntax.TokenNewline, t.Type == hclsyntax.TokenComment && bytes.HasSuffix(t.Bytes, []byte("\n")):
			return at + t.Range.End.Byte
		case t.Type == hclsyntax.TokenComment:
		default:
			return at + t.Range.Start.Byte
		}
	}
	return len(p.src)
}

// tokens are those of the text from a place on that is no part of a template.
func (p *patch) tokens(from int) hclsyntax.Tokens {
	tokens, _ := hclsyntax.LexConfig(p.src[from:], "", hcl.Pos{})
	return tokens
}

// commented tells whether a comment stands in a block.
func (p *patch) commented(b *hclsyntax.Block) bool {
	tokens, _ := hclsyntax.LexConfig(p.src[b.OpenBraceRange.End.Byte:b.CloseBraceRange.Start.Byte], "", hcl.Pos{})
	return slices.ContainsFunc(tokens, func(t hclsyntax.Token) bool { return t.Type == hclsyntax.TokenComment })
}

// severalLines tells whether a block may have more than one setting: where a
// line ends after its brace.
func (p *patch) severalLines(b *hclsyntax.Block) bool {
	for _, t := range p.tokens(b.OpenBraceRange.End.Byte) {
		if t.Type != hclsyntax.TokenComment || bytes.HasSuffix(t.Bytes, []byte("\n")) {
			return t.Type == hclsyntax.TokenNewline || t.Type == hclsyntax.TokenComment
		}
	}
	return false
}

// indent is the white space at the beginning of a place's line.
func (p *patch) indent(at int) string {
	line := p.src[bytes.LastIndexByte(p.src[:at], '\n')+1 : at]
	return string(line[:len(line)-len(bytes.TrimLeft(line, " \t"))])
}

// unitOf is how much deeper than its block the first thing in it stands.
func (p *patch) unitOf(b *hclsyntax.Block, fallback string) string {
	first := len(p.src)
	for _, a := range b.Body.Attributes {
		first = min(first, a.NameRange.Start.Byte)
	}
	for _, inner := range b.Body.Blocks {
		first = min(first, inner.TypeRange.Start.Byte)
	}
	if first == len(p.src) || !bytes.Contains(p.src[b.OpenBraceRange.End.Byte:first], []byte("\n")) {
		return fallback
	}
	unit, deeper := strings.CutPrefix(p.indent(first), p.indent(b.TypeRange.Start.Byte))
	if !deeper {
		return fallback
	}
	return unit
}

// result makes the cuts. A file that was formatted stays so where that moves
// nothing but what was cut; tidy tells that nothing is left to wish for.
func (p *patch) result() (text []byte, tidy bool) {
	slices.SortStableFunc(p.cuts, func(a, b cut) int { return a.from - b.from })
	at := 0
	for _, c := range p.cuts {
		text = append(append(text, p.src[at:c.from]...), c.text...)
		at = c.to
	}
	text = append(text, p.src[at:]...)
	if !bytes.Equal(hclwrite.Format(p.src), p.src) {
		return text, true
	}
	formatted := hclwrite.Format(text)
	head, tail := p.src[:p.from], p.src[p.to:]
	if len(formatted) < len(head)+len(tail) || !bytes.HasPrefix(formatted, head) || !bytes.HasSuffix(formatted, tail) {
		return text, false
	}
	return formatted, true
}

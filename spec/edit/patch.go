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

// patch is a file with the pieces to replace. hclwrite's own editing appends settings
// without regard to one-line blocks, line ends and indentation. So patch cuts at the
// positions from the parser, and uses hclwrite only for values and alignment.
type patch struct {
	src      []byte
	newline  string
	unit     string // one level of indentation
	gap      bool   // write an empty line before added lines
	cuts     []cut
	from, to int // range that may be formatted again
}

// cut replaces the bytes [from, to).
type cut struct {
	from, to int
	text     string
}

// assignment is a setting with its value in HCL syntax; "" removes the setting.
type assignment struct{ name, value string }

// newPatch returns a patch that writes the line ends and the indentation of the block.
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

// replace records a cut, and extends the range that may be formatted again.
func (p *patch) replace(from, to int, text string) {
	p.cuts = append(p.cuts, cut{from, to, text})
	p.from, p.to = min(p.from, from), max(p.to, to)
}

// set replaces the value of an attribute.
func (p *patch) set(a *hclsyntax.Attribute, value string) {
	p.replace(a.Expr.Range().Start.Byte, a.SrcRange.End.Byte, value)
	p.from = min(p.from, a.NameRange.Start.Byte)
}

// rewrite replaces a setting or block by lines.
func (p *patch) rewrite(from, to int, lines []string) {
	indent := p.indent(from)
	for i, line := range lines {
		lines[i] = indent + p.indented(line)
	}
	p.replace(from, to, strings.TrimPrefix(strings.Join(lines, p.newline), indent))
}

// add appends lines to a block, and turns a one-line block into several lines. A leading
// tab in a line stands for one more level of indentation.
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
	default: // a comment precedes the closing brace
		p.replace(end, end, p.newline+text.String()+base)
	}
}

func (p *patch) indented(line string) string {
	if rest, ok := strings.CutPrefix(line, "\t"); ok {
		return p.unit + rest
	}
	return line
}

// renewal writes settings into a block's renewal block. It removes the renewal block if
// nothing is left in it.
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

// assign changes the settings that a block (or nil) already contains. missing are the
// lines of the other settings, and gone is the number of removed settings.
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

// drop removes whole lines, with a comment at their end, and with the empty line above if
// it would be superfluous.
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

// lineEnd returns the end of the line in which a setting or block ends.
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

// tokens lexes the text from a position that must not lie inside a template.
func (p *patch) tokens(from int) hclsyntax.Tokens {
	tokens, _ := hclsyntax.LexConfig(p.src[from:], "", hcl.Pos{})
	return tokens
}

// commented reports whether a block contains a comment.
func (p *patch) commented(b *hclsyntax.Block) bool {
	tokens, _ := hclsyntax.LexConfig(p.src[b.OpenBraceRange.End.Byte:b.CloseBraceRange.Start.Byte], "", hcl.Pos{})
	return slices.ContainsFunc(tokens, func(t hclsyntax.Token) bool { return t.Type == hclsyntax.TokenComment })
}

// severalLines reports whether a block may contain several settings: its opening brace
// ends a line.
func (p *patch) severalLines(b *hclsyntax.Block) bool {
	for _, t := range p.tokens(b.OpenBraceRange.End.Byte) {
		if t.Type != hclsyntax.TokenComment || bytes.HasSuffix(t.Bytes, []byte("\n")) {
			return t.Type == hclsyntax.TokenNewline || t.Type == hclsyntax.TokenComment
		}
	}
	return false
}

// indent returns the white space at the beginning of the position's line.
func (p *patch) indent(at int) string {
	line := p.src[bytes.LastIndexByte(p.src[:at], '\n')+1 : at]
	return string(line[:len(line)-len(bytes.TrimLeft(line, " \t"))])
}

// unitOf returns the indentation of a block's first element relative to the block.
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

// result applies the cuts. If the file was formatted, result formats it again, provided
// that this changes only the cut range. tidy is false if the result needs another layout.
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

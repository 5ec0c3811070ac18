package view

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"

	"certroll/spec"
	"certroll/spec/text"
)

// Diagnostics prints every diagnostic with its place and source line.
func Diagnostics(w io.Writer, p Palette, files []spec.File, diags hcl.Diagnostics) {
	source := make(map[string][]byte, len(files))
	for _, f := range files {
		source[f.Path] = f.Bytes
	}
	for _, d := range diags {
		diagnostic(printer{w}, p, source, d)
	}
}

// Briefly prints like Diagnostics if there are errors. Otherwise it prints one line per
// kind of warning, since the same warnings appear with every command.
func Briefly(w io.Writer, p Palette, files []spec.File, diags hcl.Diagnostics) {
	if diags.HasErrors() {
		Diagnostics(w, p, files, diags)
		return
	}
	var kinds []string
	places := map[string][]string{}
	for _, d := range diags {
		if d.Subject == nil {
			printer{w}.f("%s %s\n", p.yellow("Warning:"), hang(d.Summary+": "+d.Detail, 2))
			continue
		}
		if _, ok := places[d.Summary]; !ok {
			kinds = append(kinds, d.Summary)
		}
		places[d.Summary] = append(places[d.Summary], sprint("%s:%d", d.Subject.Filename, d.Subject.Start.Line))
	}
	for _, kind := range kinds {
		printer{w}.f("%s %s\n", p.yellow("Warning:"), hang(sprint("%s: %s (see certroll validate)", kind, text.Some(places[kind], 3)), 2))
	}
}

func diagnostic(out printer, p Palette, source map[string][]byte, d *hcl.Diagnostic) {
	title := p.red("Error: ")
	if d.Severity == hcl.DiagWarning {
		title = p.yellow("Warning: ")
	}
	out.f("%s%s\n", title, p.bold(text.Line(d.Summary)))
	if d.Subject != nil {
		snippet(out, p, source, d)
	}
	if d.Detail != "" {
		out.f("\n%s\n", indent(wrap(text.Lines(d.Detail), textWidth), "  "))
	}
	out.f("\n")
}

func snippet(out printer, p Palette, source map[string][]byte, d *hcl.Diagnostic) {
	r := d.Subject
	out.f("\n  on %s:%d:%d%s\n", text.Line(r.Filename), r.Start.Line, r.Start.Column, blockOf(source, d))
	line, ok := lineAt(source[r.Filename], r.Start.Line)
	if !ok {
		return
	}
	shown, column := excerpt(line, r.Start.Column)
	out.f("  %s %s\n", p.dim(fmt.Sprintf("%4d │", r.Start.Line)), text.Lines(shown))
	out.f("       %s %s%s\n", p.dim("│"), padding(shown, column), p.red(strings.Repeat("^", caretWidth(shown, column, r))))
}

// excerpt returns the displayed part of a line, and the column in it.
func excerpt(line string, column int) (string, int) {
	if len(line) <= maxLine {
		return line, column
	}
	runes := []rune(line)
	if len(runes) <= maxLine {
		return line, column
	}
	const cut = "... "
	from, head := 0, ""
	if column > maxLine*3/4 { // with some of the text before the column
		from, head = min(column-1, len(runes))-maxLine/4, cut
	}
	to, tail := min(from+maxLine, len(runes)), ""
	if to < len(runes) {
		tail = " ..."
	}
	return head + string(runes[from:to]) + tail, column - from + len(head)
}

// blockOf returns the header of the block that a diagnostic's context begins with.
func blockOf(source map[string][]byte, d *hcl.Diagnostic) string {
	if d.Context == nil || d.Context.Filename != d.Subject.Filename {
		return ""
	}
	line, ok := lineAt(source[d.Context.Filename], d.Context.Start.Line)
	if !ok {
		return ""
	}
	header, _, found := strings.Cut(strings.TrimSpace(line), "{")
	if !found || strings.TrimSpace(header) == "" {
		return ""
	}
	return ", in " + printable(strings.TrimSpace(header)) + ":"
}

func lineAt(src []byte, n int) (string, bool) {
	if n < 1 || len(src) == 0 {
		return "", false
	}
	first := n == 1
	for ; n > 1; n-- { // without splitting the file for each of a thousand errors
		_, rest, found := bytes.Cut(src, []byte("\n"))
		if !found {
			return "", false
		}
		src = rest
	}
	line, _, _ := bytes.Cut(src, []byte("\n"))
	if first {
		line = bytes.TrimPrefix(line, []byte("\uFEFF")) // HCL counts no column for it
	}
	return string(bytes.TrimRight(line, "\r")), true
}

const maxLine = 200 // runes of a source line

func printable(line string) string {
	shown, _ := excerpt(line, 1)
	return text.Lines(shown)
}

// padding keeps the line's tabs, so that the caret is under its column.
func padding(line string, column int) string {
	var b strings.Builder
	for i, r := range []rune(line) {
		if i >= column-1 {
			break
		}
		if r == '\t' {
			b.WriteRune('\t')
		} else {
			b.WriteRune(' ')
		}
	}
	return b.String()
}

// caretWidth returns the width of the range within the displayed line.
func caretWidth(line string, column int, r *hcl.Range) int {
	width := utf8.RuneCountInString(line) - column + 1
	if r.Start.Line == r.End.Line {
		width = min(width, r.End.Column-r.Start.Column)
	}
	return max(1, width)
}

// OneLine joins the errors, one per line, for editors and the audit log.
func OneLine(diags hcl.Diagnostics) string {
	var lines []string
	for _, d := range diags {
		if d.Severity != hcl.DiagError {
			continue
		}
		where := ""
		if d.Subject != nil {
			where = fmt.Sprintf("%s:%d:%d: ", d.Subject.Filename, d.Subject.Start.Line, d.Subject.Start.Column)
		}
		lines = append(lines, text.Lines(where+d.Summary+": "+strings.ReplaceAll(d.Detail, "\n", " ")))
	}
	return strings.Join(lines, "\n")
}

// wrap breaks lines at spaces; indented lines stay as they are. A break can move a word
// to the beginning of a line, where text.Lines has not checked it: it may be
// "::error::".
func wrap(paragraphs string, width int) string {
	var out []string
	for _, line := range strings.Split(paragraphs, "\n") {
		if strings.HasPrefix(line, " ") {
			out = append(out, line)
			continue
		}
		var b strings.Builder
		n := 0
		for _, word := range strings.Fields(line) {
			l := utf8.RuneCountInString(word)
			if n > 0 && n+1+l > width {
				out = append(out, b.String())
				b.Reset()
				n = 0
			}
			if n > 0 {
				b.WriteByte(' ')
				n++
			}
			b.WriteString(word)
			n += l
		}
		out = append(out, b.String())
	}
	return text.Lines(strings.Join(out, "\n"))
}

func indent(lines, by string) string {
	return by + strings.ReplaceAll(lines, "\n", "\n"+by)
}

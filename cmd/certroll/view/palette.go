package view

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"certroll/spec/text"
)

// Palette colours text for a terminal; the zero value leaves it plain.
type Palette struct{ On bool }

func (p Palette) paint(code, s string) string {
	s = text.Lines(s)
	if !p.On {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (p Palette) bold(s string) string   { return p.paint("1", s) }
func (p Palette) dim(s string) string    { return p.paint("2", s) }
func (p Palette) red(s string) string    { return p.paint("31", s) }
func (p Palette) green(s string) string  { return p.paint("32", s) }
func (p Palette) yellow(s string) string { return p.paint("33", s) }
func (p Palette) cyan(s string) string   { return p.paint("36", s) }

// JSON prints a value as indented JSON. It escapes characters that act on a terminal or
// a CI log.
func JSON(w io.Writer, v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("printing JSON: %w", err)
	}
	if _, err := w.Write(text.JSON(b.Bytes())); err != nil {
		return fmt.Errorf("printing JSON: %w", err)
	}
	return nil
}

// printer writes formatted text and ignores write errors, so that views stay readable.
type printer struct{ w io.Writer }

func (p printer) f(format string, args ...any) {
	// A closed terminal is not worth an error.
	_, _ = fmt.Fprintf(p.w, format, args...)
}

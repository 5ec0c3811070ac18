package text

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"sync"
	"unicode/utf8"
)

// Writer filters its input like Lines, however the input is split into writes. It is safe
// for concurrent use.
type Writer struct {
	// Colours lets escape sequences for colours pass: for a terminal, and a program that
	// writes such sequences itself.
	Colours bool

	mu   sync.Mutex
	w    io.Writer
	f    filter
	rest []byte // the first bytes of a character that is not complete yet
}

// NewWriter returns a Writer in front of w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

var coloured = regexp.MustCompile(`^\x1b\[[0-9;]{0,8}m`)

// Write filters p. It returns len(p) or an error, because the output has another length.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := w.filtered(p)
	if len(out) == 0 {
		return len(p), nil
	}
	if _, err := w.w.Write(out); err != nil {
		return 0, fmt.Errorf("writing the output: %w", err)
	}
	return len(p), nil
}

// filtered returns the bytes to write now. It keeps an incomplete character for the next
// call.
func (w *Writer) filtered(p []byte) []byte {
	if len(w.rest) > 0 {
		p = append(w.rest, p...)
		w.rest = nil
	}
	out := make([]byte, 0, len(p))
	for len(p) > 0 {
		if w.Colours && p[0] == 0x1b {
			if m := coloured.Find(p); m != nil {
				out, p = append(out, m...), p[len(m):]
				continue
			}
		}
		if p[0] >= utf8.RuneSelf && !utf8.FullRune(p) {
			w.rest = bytes.Clone(p)
			break
		}
		r, n := utf8.DecodeRune(p)
		out, p = utf8.AppendRune(out, w.f.next(r)), p[n:]
	}
	return out
}

// AtStart reports whether the next write begins a line.
func (w *Writer) AtStart() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.f.begun
}

package text

import (
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// JSON escapes, within a JSON text, the characters that Line would replace: a parser
// reads the same values as before. Line breaks and tabs between values stay.
func JSON(b []byte) []byte {
	if inert(b) {
		return b
	}
	var f filter
	out := make([]byte, 0, len(b)+64)
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		switch shown := f.next(r); {
		case shown == r, r == '\r':
			out = append(out, b[:n]...)
		case r == utf8.RuneError: // a byte that is not valid UTF-8
			out = append(out, `\ufffd`...)
		default:
			out = escape(out, r)
		}
		b = b[n:]
	}
	return out
}

// inert reports whether there is nothing to escape. This is the common case, and avoids a
// copy.
func inert(b []byte) bool {
	var f filter
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if f.next(r) != r || r == utf8.RuneError && n == 1 {
			return false
		}
		b = b[n:]
	}
	return true
}

// escape appends a character as a JSON escape (RFC 8259 section 7).
func escape(out []byte, r rune) []byte {
	if r > 0xffff {
		high, low := utf16.EncodeRune(r)
		return fmt.Appendf(out, `\u%04x\u%04x`, high, low)
	}
	return fmt.Appendf(out, `\u%04x`, r)
}

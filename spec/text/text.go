package text

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// What stands in for a character that must not be shown as it is. Each of them
// is one character for one, so that columns stay right.
const (
	unseen  = utf8.RuneError // something stood here
	colon   = '\u2236'       // ∶ for the second colon at the beginning of a line
	bracket = '\u27e6'       // ⟦ for the bracket behind two hashes
)

// Visible reports whether a character can be seen, moves nothing but the cursor
// by one place, and leaves the order of its neighbours alone. Blanks of any
// width are visible; line breaks and tabs are not.
func Visible(r rune) bool {
	if r < utf8.RuneSelf {
		return r >= ' ' && r != 0x7f
	}
	// IsGraphic leaves out Cc, Cf, Cs, Co, Cn, Zl and Zp. Hangul's fillers are
	// letters and Khmer's inherent vowels marks by category, and have no shape.
	return unicode.IsGraphic(r) && !unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r)
}

// Line makes a text one line, with single blanks between its words.
func Line(s string) string {
	var f filter
	return strings.Map(f.next, strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		switch {
		case unicode.IsControl(r), isSeparator(r):
			return ' '
		case !Visible(r):
			return unseen
		}
		return r
	}, s)), " "))
}

// Lines makes a text of several lines fit to be shown; its line breaks and tabs
// stay. Line breaks of other systems become ours.
func Lines(s string) string {
	var f filter
	return strings.Map(f.next, strings.ReplaceAll(s, "\r\n", "\n"))
}

// isSeparator reports the line and the paragraph separator, which some readers
// take for a line break.
func isSeparator(r rune) bool { return r == 0x2028 || r == 0x2029 }

// filter replaces characters one by one. It knows what stands before each of
// them on its line; the zero value is at the beginning of one.
type filter struct {
	begun  bool // something stands on this line, a blank perhaps
	inLine bool // something but blanks does
	colon  bool // the first thing on this line is a colon, just before
	hashes int  // that stand just before, or before the letters just before
	word   bool // letters stand between them and here
}

// next is what to show for the next character.
func (f *filter) next(r rune) rune {
	if r == '\n' {
		*f = filter{}
		return r
	}
	f.begun = true
	if unicode.Is(unicode.Variation_Selector, r) {
		return r // of the character before: runners on .NET compare texts as if it were not there
	}
	if r != '\t' && !Visible(r) {
		r = unseen
	}
	switch {
	case r == ':' && f.colon: // runners look behind blanks: "  ::error::"
		r = colon
	case r == '[' && f.hashes >= 2: // "##[error]", "##vso[...]", "##teamcity[...]", anywhere in a line
		r = bracket
	}
	f.colon = r == ':' && !f.inLine
	f.inLine = f.inLine || !unicode.IsSpace(r)
	switch {
	case r == '#' && !f.word:
		f.hashes++
	case r == '#':
		f.hashes, f.word = 1, false
	case f.hashes > 0 && isLetter(r):
		f.word = true
	default:
		f.hashes, f.word = 0, false
	}
	return r
}

func isLetter(r rune) bool {
	return r < utf8.RuneSelf && (r|0x20 >= 'a' && r|0x20 <= 'z' || r == '-' || r == '_' || r == '.')
}

// Clip bounds a text, in runes.
func Clip(s string, most int) string {
	if len(s) <= most || utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most]) + "..."
}

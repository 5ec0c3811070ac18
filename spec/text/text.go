package text

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Replacements for unsafe characters. Each replaces one character by one, so that columns
// stay aligned.
const (
	unseen  = utf8.RuneError // for an invisible character
	colon   = '\u2236'       // ∶ for the second colon at the beginning of a line
	bracket = '\u27e6'       // ⟦ for the bracket after two hashes
)

// Visible reports whether a character is visible, moves the cursor by one place only, and
// does not reorder its neighbours. Spaces of any width are visible; line breaks and tabs
// are not.
func Visible(r rune) bool {
	if r < utf8.RuneSelf {
		return r >= ' ' && r != 0x7f
	}
	// IsGraphic excludes Cc, Cf, Cs, Co, Cn, Zl and Zp. It accepts Hangul fillers, which
	// are letters by category, and Khmer inherent vowels, which are marks, although
	// neither has a visible shape.
	return unicode.IsGraphic(r) && !unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r)
}

// Line makes a text one safe line, with single spaces between its words.
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

// Lines makes a text of several lines safe. Line breaks and tabs stay; CR LF becomes LF.
func Lines(s string) string {
	var f filter
	return strings.Map(f.next, strings.ReplaceAll(s, "\r\n", "\n"))
}

// isSeparator reports the line separator and the paragraph separator, which some readers
// treat as line breaks.
func isSeparator(r rune) bool { return r == 0x2028 || r == 0x2029 }

// filter replaces characters one by one, depending on the characters before on the same
// line. The zero value is at the beginning of a line.
type filter struct {
	begun  bool // the line contains a character, perhaps a space
	inLine bool // the line contains a character that is no space
	colon  bool // the previous character is a colon, and the first on the line
	hashes int  // number of hashes just before, or before the letters just before
	word   bool // letters follow the hashes
}

// next returns the character to display for r, and updates the state.
func (f *filter) next(r rune) rune {
	if r == '\n' {
		*f = filter{}
		return r
	}
	f.begun = true
	if unicode.Is(unicode.Variation_Selector, r) {
		return r // it belongs to the character before: runners on .NET ignore it when they compare texts
	}
	if r != '\t' && !Visible(r) {
		r = unseen
	}
	switch {
	case r == ':' && f.colon: // runners skip spaces first: "  ::error::"
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

// Clip shortens a text to most runes, plus "..." if it was longer.
func Clip(s string, most int) string {
	if len(s) <= most || utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most]) + "..."
}

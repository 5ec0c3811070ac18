package view

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

func sprint(format string, args ...any) string { return fmt.Sprintf(format, args...) }

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func joinSome(items []string, most int) string {
	if len(items) <= most {
		return strings.Join(items, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(items[:most], ", "), len(items)-most)
}

func shortSerial(s string) string {
	if len(s) > 16 {
		return s[:16] + "..."
	}
	return s
}

// shortRevision is the beginning of a commit's hash, with "-dirty" where it is.
func shortRevision(s string) string {
	hash, dirty, found := strings.Cut(s, "-")
	if s == "" {
		return "a plain directory"
	}
	hash = hash[:min(12, len(hash))]
	if found {
		return hash + "-" + dirty
	}
	return hash
}

// seen replaces what is not seen, or reorders what is, but for line breaks.
func seen(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\r' || r == '\t' {
			return r
		}
		return visible(r)
	}, s)
}

// Seen is a text of several lines, an error say, in which nothing acts on the
// terminal, whoever wrote it.
func Seen(s string) string { return strings.ReplaceAll(seen(s), "\r", "\uFFFD") }

// visible replaces control characters, marks of direction, and characters that
// have no width. Bytes that are no UTF-8 come as one of the replaced already.
func visible(r rune) rune {
	if r < utf8.RuneSelf && r >= ' ' && r != 0x7f {
		return r
	}
	if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
		return utf8.RuneError
	}
	return r
}

// clip bounds a text, in runes.
func clip(s string, most int) string {
	if len(s) <= most || utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most]) + "..."
}

// textWidth is where sentences are broken, so that they are read in a terminal
// of a hundred columns.
const textWidth = 96

// hang is a text on as many lines as it takes, the later ones indented to where
// the first one begins.
func hang(s string, column int) string {
	by := strings.Repeat(" ", column)
	return strings.TrimPrefix(indent(wrap(oneLine(s), textWidth+2-column), by), by)
}

// oneLine makes a text fit a line of a terminal or a log whoever wrote it: a
// line break could begin a line of its own there, which a CI takes for a
// command, and other control characters act on the terminal.
func oneLine(s string) string {
	return strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return visible(r)
	}, s)), " ")
}

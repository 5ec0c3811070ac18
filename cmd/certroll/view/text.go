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

// plain is text of the config repo on one line, as it may be put on a terminal
// or in a log: a line break could begin a line of its own there, which a CI
// takes for a command, and other control characters act on the terminal.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\r' || r == '\t' || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, invisible(s))
}

// invisible replaces what is not seen or reorders what is: control characters
// but for line breaks and tabs, marks of direction, characters of no width.
func invisible(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			return r
		case unicode.IsControl(r) || unicode.Is(unicode.Cf, r):
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(s, string(utf8.RuneError)))
}

// clip bounds a text, in runes.
func clip(s string, most int) string {
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most]) + "..."
}

package text

import (
	"cmp"
	"slices"
	"strings"
)

// FirstOf is the first text that is not empty.
func FirstOf(candidates ...string) string {
	for _, c := range candidates {
		if c != "" {
			return c
		}
	}
	return ""
}

// Cut is a text without what it has more than some bytes.
func Cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}

// FirstLine is that of a text, fit to be shown.
func FirstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return Line(s)
}

// Clipped is a text of somebody else's as one line that is not too long.
func Clipped(s string, most int) string {
	return Cut(Line(s), most)
}

// OrNone is a name, or that there is none.
func OrNone(s string) string { return cmp.Or(s, "no name") }

// SortedSet is a copy, sorted, each text once.
func SortedSet(list []string) []string {
	out := append([]string{}, list...)
	slices.Sort(out)
	return slices.Compact(out)
}

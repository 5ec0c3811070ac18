package text

import (
	"cmp"
	"slices"
	"strings"
)

// FirstOf returns the first text that is not empty.
func FirstOf(candidates ...string) string {
	for _, c := range candidates {
		if c != "" {
			return c
		}
	}
	return ""
}

// Cut shortens a text to at most most bytes, plus "..." if it was longer.
func Cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}

// FirstLine returns the first line of a text, safe to display.
func FirstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return Line(s)
}

// Clipped returns a text from outside as one safe line, cut to most bytes.
func Clipped(s string, most int) string {
	return Cut(Line(s), most)
}

// OrNone returns a name, or "no name" if it is empty.
func OrNone(s string) string { return cmp.Or(s, "no name") }

// SortedSet returns a sorted copy without duplicates.
func SortedSet(list []string) []string {
	out := append([]string{}, list...)
	slices.Sort(out)
	return slices.Compact(out)
}

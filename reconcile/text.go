package reconcile

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"certroll/spec/text"
)

// days renders a duration as a person reads it.
func days(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + days(-d)
	case d >= 2*day:
		return text.Counted(int(d/day), "day")
	case d >= 2*time.Hour:
		return text.Counted(int(d/time.Hour), "hour")
	default:
		return text.Counted(int(d/time.Minute), "minute")
	}
}

func firstOf(candidates ...string) string {
	for _, c := range candidates {
		if c != "" {
			return c
		}
	}
	return ""
}

// cut is a text without what it has more than some bytes.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return text.Line(s)
}

// clipped is a text of somebody else's as one line that is not too long.
func clipped(s string, most int) string {
	return cut(text.Line(s), most)
}

func orNone(s string) string { return cmp.Or(s, "no name") }

func stampOf(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func sortedSet(list []string) []string {
	out := append([]string{}, list...)
	slices.Sort(out)
	return slices.Compact(out)
}

func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

const day = 24 * time.Hour

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func sooner(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func sameTime(a, b *time.Time) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Equal(*b)
}

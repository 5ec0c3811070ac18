package times

import (
	"time"

	"certroll/spec/text"
)

// Days renders a duration for a person: in days from two days on, in hours from two hours
// on, else in minutes. It rounds toward zero.
func Days(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + Days(-d)
	case d < 2*time.Minute: // without seconds
		return text.Counted(int(d/time.Minute), "minute")
	default:
		return text.TimeLeft(d)
	}
}

// Optional returns nil for the zero time, and a pointer to t in UTC for any other. JSON
// then has null instead of the year 1.
func Optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// Day is 24 hours, whatever the calendar's changes of clock.
const Day = 24 * time.Hour

// Later returns the later of two times.
func Later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Sooner returns the earlier of two times.
func Sooner(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// SameTime reports whether two optional times are the same instant; two nils are.
func SameTime(a, b *time.Time) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Equal(*b)
}

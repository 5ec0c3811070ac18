package times

import (
	"time"

	"certroll/spec/text"
)

// Days renders a duration as a person reads it.
func Days(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + Days(-d)
	case d >= 2*Day:
		return text.Counted(int(d/Day), "day")
	case d >= 2*time.Hour:
		return text.Counted(int(d/time.Hour), "hour")
	default:
		return text.Counted(int(d/time.Minute), "minute")
	}
}

// StampOf is a moment as RFC 3339 writes it, in UTC.
func StampOf(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// Optional is nil for the zero time.
func Optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// Day is a day of 24 hours.
const Day = 24 * time.Hour

// Later is the later of two moments.
func Later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Sooner is the sooner of two moments.
func Sooner(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// SameTime compares moments that may be absent.
func SameTime(a, b *time.Time) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Equal(*b)
}

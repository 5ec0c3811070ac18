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

func StampOf(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func Optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

const Day = 24 * time.Hour

func Later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func Sooner(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func SameTime(a, b *time.Time) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Equal(*b)
}

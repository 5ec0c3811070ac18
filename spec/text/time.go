package text

import "time"

// Stamp formats a moment as RFC 3339, in UTC.
func Stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// TimeLeft formats a duration in the largest unit of which there are at least two.
func TimeLeft(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return Counted(int(d/time.Second), "second")
	case d < 2*time.Hour:
		return Counted(int(d/time.Minute), "minute")
	case d < 48*time.Hour:
		return Counted(int(d/time.Hour), "hour")
	default:
		return Counted(int(d/(24*time.Hour)), "day")
	}
}

package spec

import (
	"fmt"
	"regexp"
	"strconv"
	"time"

	"certroll/spec/text"
)

// Day is a day of 24 hours.
const Day = 24 * time.Hour

var (
	percentText = regexp.MustCompile(`^([0-9]{1,3})%$`)
	daysText    = regexp.MustCompile(`^([0-9]{1,5})d$`)
)

// WholePercent parses "33%", from 1 to most. It returns 0 if text is not of that form.
func WholePercent(text string, most int) int { return wholeIn(percentText, text, most) }

// WholeDays parses "21d", from 1 to most. It returns 0 if text is not of that form.
func WholeDays(text string, most int) int { return wholeIn(daysText, text, most) }

// wholeIn returns the number that the pattern matches, from 1 to most, or 0.
func wholeIn(pattern *regexp.Regexp, text string, most int) int {
	m := pattern.FindStringSubmatch(text)
	if m == nil {
		return 0
	}
	if n, err := strconv.Atoi(m[1]); err == nil && n <= most {
		return n
	}
	return 0
}

// ParseSpan parses a duration: Go's syntax, or whole days as in "21d".
func ParseSpan(text string) (time.Duration, bool) {
	if m := daysText.FindStringSubmatch(text); m != nil {
		n, err := strconv.Atoi(m[1])
		return time.Duration(n) * Day, err == nil
	}
	v, err := time.ParseDuration(text)
	return v, err == nil
}

// SpanText formats a duration in the largest whole unit: days, hours or minutes;
// otherwise in Go's syntax.
func SpanText(d time.Duration) string {
	switch {
	case d%Day == 0:
		return fmt.Sprintf("%dd", d/Day)
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return d.String()
}

// ParseMoment parses a date or an RFC 3339 time. A date stands for the end of that day in
// UTC. The result is the zero time if text is neither.
func ParseMoment(text string) time.Time {
	if t, err := time.Parse(time.DateOnly, text); err == nil {
		return t.AddDate(0, 0, 1)
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

// EndText describes the end of a pause in the form that the person wrote: "through
// 2026-12-31" for a date, whose day is part of the pause, and "until
// 2026-12-31T18:00:00Z" for a time.
func EndText(end time.Time) string {
	end = end.UTC()
	if end.Equal(end.Truncate(Day)) {
		return "through " + end.AddDate(0, 0, -1).Format(time.DateOnly)
	}
	return "until " + end.Format(time.RFC3339)
}

// BadMoment returns the message for a text that is neither a date nor a time.
func BadMoment(name, typed string) string {
	return fmt.Sprintf("%s = %q: write a date, as in \"2026-12-31\", or a time by RFC 3339, as in \"2026-12-31T18:00:00Z\".", name, text.Short(typed))
}

package page

import (
	"fmt"
	"math"
	"slices"
	"time"

	"certroll/reconcile/ledger"
)

const day = 24 * time.Hour

// scale maps times to the time line, which begins at the present. A bent one is a cube
// root: on a line of 90 days the first hour takes a thirteenth and the first day a
// fifth, so that certificates of hours and of months are readable side by side.
type scale struct {
	from time.Time
	span time.Duration
	step time.Duration // between ticks of a straight one
	bent bool
}

// spans are the possible lengths of a time line, with the distance of its ticks.
var spans = []struct{ span, step time.Duration }{
	{10 * time.Minute, 2 * time.Minute}, {30 * time.Minute, 5 * time.Minute}, {time.Hour, 10 * time.Minute}, {2 * time.Hour, 20 * time.Minute},
	{6 * time.Hour, time.Hour}, {day, 4 * time.Hour}, {2 * day, 8 * time.Hour}, {4 * day, day}, {7 * day, day}, {14 * day, 2 * day}, {30 * day, 5 * day},
	{45 * day, 9 * day}, {60 * day, 10 * day}, {90 * day, 15 * day}, {120 * day, 20 * day}, {180 * day, 30 * day}, {400 * day, 80 * day},
	{2 * 365 * day, 146 * day}, {5 * 365 * day, 365 * day}, {10 * 365 * day, 2 * 365 * day},
}

// newScale makes a time line on which nineteen of twenty certificates end, so that a few
// long-lived ones do not squeeze the others.
func newScale(list []*Certificate, now time.Time) scale {
	var left []time.Duration
	for _, c := range list {
		if c.NotAfter != nil && c.NotAfter.After(now) && c.State != ledger.StateRetired {
			left = append(left, c.NotAfter.Sub(now))
		}
	}
	slices.Sort(left)
	longest := 90 * day
	if n := len(left); n > 0 {
		longest = left[min(n-1, n*19/20)]
	}
	for _, s := range spans {
		if longest <= s.span {
			return scale{from: now, span: s.span, step: s.step}
		}
	}
	last := spans[len(spans)-1]
	return scale{from: now, span: last.span, step: last.step}
}

// percent returns the position of a time; the past is at the beginning.
func (s scale) percent(t time.Time) float64 {
	part := max(0, float64(t.Sub(s.from))/float64(s.span))
	if s.bent {
		part = math.Cbrt(part)
	}
	return min(100, 100*part)
}

func place(percent float64) string { return fmt.Sprintf("%.2f%%", percent) }

// tick is a line of the grid.
type tick struct{ X, Label string }

// marks are the possible ticks of a bent time line.
var marks = []struct {
	at    time.Duration
	label string
}{
	{time.Minute, "1 min"}, {5 * time.Minute, "5 min"}, {20 * time.Minute, "20 min"}, {time.Hour, "1 h"}, {6 * time.Hour, "6 h"}, {day, "1 d"},
	{3 * day, "3 d"}, {7 * day, "7 d"}, {14 * day, "14 d"}, {30 * day, "30 d"}, {60 * day, "60 d"}, {90 * day, "90 d"}, {180 * day, "180 d"},
	{365 * day, "1 y"}, {2 * 365 * day, "2 y"}, {5 * 365 * day, "5 y"},
}

// leastGap is the minimum distance of labels, in percent; firstGap that of the first
// label from the word at the beginning.
const (
	leastGap = 6
	firstGap = 7.5
)

func (s scale) ticks() []tick {
	var list []tick
	if s.bent {
		next := float64(firstGap)
		for _, m := range marks {
			if x := s.percent(s.from.Add(m.at)); x >= next && x <= 100-leastGap/2 {
				list = append(list, tick{place(x), m.label})
				next = x + leastGap
			}
		}
		return list
	}
	for d := s.step; d < s.span; d += s.step {
		list = append(list, tick{place(s.percent(s.from.Add(d))), span(d)})
	}
	return list
}

// bar is one certificate's time line.
type bar struct {
	Until      string // the expiry's position; "" without a live, unexpired certificate
	Beyond     bool   // it expires after the end of the time line
	Window, Of string // position and length of the renewal window; "" without one
	Renew      string // position of the renewal
}

// leastWindow is the minimum length of a displayed window, in percent, so that hours are
// visible on a line of months.
const leastWindow = 0.8

func (s scale) bar(c *Certificate) bar {
	var b bar
	if c.NotAfter == nil || c.State == ledger.StateRetired || !c.NotAfter.After(s.from) {
		return b
	}
	b.Until, b.Beyond = place(s.percent(*c.NotAfter)), c.NotAfter.After(s.from.Add(s.span))
	if w := c.Window; w != nil && w.End.After(s.from) {
		x, end := s.percent(w.Start), s.percent(w.End)
		if end < 100 || x < 100 {
			b.Window, b.Of = place(min(x, 100-leastWindow)), place(max(end-x, leastWindow))
		}
	}
	if r := c.RenewAt; r != nil && !r.After(s.from.Add(s.span)) {
		b.Renew = place(s.percent(*r))
	}
	return b
}

// span formats a duration by its largest unit.
func span(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 2*day:
		return fmt.Sprintf("%d h", int(d.Hours()))
	default:
		return fmt.Sprintf("%d d", int(d/day))
	}
}

// until formats the time until t; "now" if it has passed.
func until(t, now time.Time) string {
	if !t.After(now) {
		return "now"
	}
	return distance(t, now)
}

// passing formats the time until the next pass, or for how long it has been running.
func passing(t, now time.Time) string {
	if t.After(now) {
		return distance(t, now)
	}
	return "under way for " + span(now.Sub(t))
}

// distance formats the time from now to t.
func distance(t, now time.Time) string {
	if d := t.Sub(now); d >= 0 {
		return "in " + span(d)
	}
	return span(now.Sub(t)) + " ago"
}

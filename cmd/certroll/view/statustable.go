package view

import (
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"certroll/reconcile/ledger"
	"certroll/spec/text"
)

// statusTable formats the list of certificates. The last column has the cause, cut to
// the terminal's width; repeated causes refer to the first one.
type statusTable struct {
	rows  [][3]string // certificate, state, expiry
	tails []tail
	first map[string]string // cause: the first certificate with it
}

// tail is the last column of a row: the cause, and the time of the next try.
type tail struct{ cause, again string }

func (t *statusTable) add(name, state, expires, cause, again string) {
	name, cause = text.Line(name), text.Line(cause)
	if t.first == nil {
		t.first = map[string]string{}
	}
	if other, ok := t.first[cause]; ok && cause != "" {
		cause = "as " + other
	} else {
		t.first[cause] = name
	}
	t.rows = append(t.rows, [3]string{name, state, expires})
	t.tails = append(t.tails, tail{cause, again})
}

// statusHead names the columns.
var statusHead = [3]string{"CERTIFICATE", "STATE", "EXPIRES"}

// leastCause is the minimum width of a cause, in columns.
const leastCause = 24

func (t *statusTable) write(w io.Writer, width int) {
	wide := [3]int{}
	for _, row := range append([][3]string{statusHead}, t.rows...) {
		for i, cell := range row {
			wide[i] = max(wide[i], utf8.RuneCountInString(cell))
		}
	}
	room := longestCell
	if width > 0 {
		room = max(leastCause, width-wide[0]-wide[1]-wide[2]-3*2)
	}
	out := printer{w}
	line := func(row [3]string, last string) {
		s := ""
		for i, cell := range row {
			s += cell + strings.Repeat(" ", wide[i]-utf8.RuneCountInString(cell)+2)
		}
		out.f("%s\n", strings.TrimRight(s+last, " "))
	}
	line(statusHead, "CAUSE")
	for i, row := range t.rows {
		line(row, t.tails[i].fit(room))
	}
}

// fit shortens the cause and keeps the time.
func (t tail) fit(room int) string {
	end := ""
	if t.again != "" {
		end = "; " + t.again
	}
	if t.cause == "" {
		return t.again
	}
	left := max(room-utf8.RuneCountInString(end), leastCause/2)
	if utf8.RuneCountInString(t.cause) > left {
		return string([]rune(t.cause)[:left-1]) + "\u2026" + end
	}
	return t.cause + end
}

// expiresIn returns the expiry of the live certificate: within two days as a duration,
// else as a date.
func expiresIn(r *ledger.Record, now time.Time) string {
	if r.Live == nil {
		return "-"
	}
	return when(r.Live.End(), now)
}

// when formats a time for a person on call, in UTC.
func when(at, now time.Time) string {
	d := at.Sub(now)
	switch {
	case d.Abs() >= 48*time.Hour:
		return at.UTC().Format(time.DateOnly)
	case d < 0:
		return briefSpan(-d) + " ago"
	default:
		return "in " + briefSpan(d)
	}
}

func briefSpan(d time.Duration) string {
	switch {
	case d < time.Minute:
		return sprint("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return sprint("%d min", int(d.Minutes()))
	default:
		return sprint("%d h", int(d.Hours()))
	}
}

// causeOf summarizes why a certificate needs attention; "" if it does not. The
// certificate's story has the whole message.
func causeOf(r *ledger.Record, state ledger.State) string {
	f := r.LastFailure
	switch {
	case r.State == ledger.StateRetired:
		return ""
	case state == ledger.StateDeleted:
		return r.WaitsFor()
	case f != nil:
		return f.Cause()
	case r.Hold != nil:
		return r.Hold.Reason
	case r.Unmanaged != nil:
		return r.Unmanaged.String()
	case state == ledger.StateOverdue:
		return "due, but certroll has not tried: is certroll run up?"
	default:
		return ""
	}
}

// again returns the time of a failed certificate's next try.
func again(r *ledger.Record, now time.Time) string {
	if r.Hold == nil || r.State == ledger.StateRetired {
		return ""
	}
	return "next try " + when(r.Hold.Until, now)
}

// whole returns the cause with the time of the next try.
func (t tail) whole() string {
	return strings.TrimPrefix(strings.TrimSuffix(t.cause+"; "+t.again, "; "), "; ")
}

// longestCell bounds a message in a table, in runes.
const longestCell = 120

// tableCell cuts a text for a table's last column, and reports whether it did.
func tableCell(s string) (string, bool) {
	s = text.Line(s)
	short := text.Clip(s, longestCell)
	return short, short != s
}

// stateWord returns the state for people, with the number of failures that page.
func stateWord(r *ledger.Record, s ledger.State) string {
	if s == ledger.StatePaging {
		return sprint("failing (%dx, page)", r.Failures)
	}
	return s.Word()
}

// coarseWord is stateWord for status, whose reader looks for problems: certificates without
// one are live, whenever they renew. expiring and the page distinguish due from in order.
func coarseWord(r *ledger.Record, s ledger.State) string {
	if s.Well() {
		return r.State.Word()
	}
	return stateWord(r, s)
}

package view

import (
	"cmp"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"certroll/reconcile/ledger"
	"certroll/spec/text"
)

// ExpiringSchema is the version of the JSON of expiring.
const ExpiringSchema = 1

// Expiring lists the certificates that expire soon. Arrays are never null.
type Expiring struct {
	Schema       int       `json:"schema"`
	Time         time.Time `json:"time"`
	Days         int       `json:"days"`
	NotInOrder   int       `json:"not_in_order"`
	Certificates []Expiry  `json:"certificates"` // nearest expiry first
}

// Expiry is one certificate that expires soon.
type Expiry struct {
	Certificate string            `json:"certificate"`
	NotAfter    time.Time         `json:"not_after"`
	Auto        bool              `json:"auto"`      // renewal is on
	Standing    ledger.State      `json:"standing"`  // one of ledger.RecordStates but retired
	InOrder     bool              `json:"in_order"`  // needs no attention
	RenewAt     *time.Time        `json:"renew_at"`  // null if renewal is off
	Failures    int               `json:"failures"`  // in a row
	Class       string            `json:"class"`     // of the last failure; "" for none
	Message     string            `json:"message"`   // the upstream's words
	Hold        *ledger.Hold      `json:"hold"`      // null: no hold
	Unmanaged   *ledger.Unmanaged `json:"unmanaged"` // null: renewal is on
	waits       string
	record      *ledger.Record
}

// NewExpiring selects the certificates that expire within some days.
func NewExpiring(records map[string]*ledger.Record, days int, now time.Time) Expiring {
	dto := Expiring{Schema: ExpiringSchema, Time: now.UTC().Truncate(time.Second), Days: days, Certificates: []Expiry{}}
	end := now.AddDate(0, 0, days)
	for _, r := range records {
		if r.Live == nil || r.State == ledger.StateRetired || r.Live.End().After(end) {
			continue
		}
		e := newExpiry(r, now)
		if !e.InOrder {
			dto.NotInOrder++
		}
		dto.Certificates = append(dto.Certificates, e)
	}
	slices.SortFunc(dto.Certificates, func(a, b Expiry) int {
		return cmp.Or(a.NotAfter.Compare(b.NotAfter), cmp.Compare(a.Certificate, b.Certificate))
	})
	return dto
}

func newExpiry(r *ledger.Record, now time.Time) Expiry {
	s := r.StateAt(now)
	e := Expiry{
		Certificate: r.Certificate, NotAfter: r.Live.End().UTC(), Auto: !r.Paused(now), Standing: s, InOrder: s.Well(),
		RenewAt: r.RenewAt, Failures: r.Failures, Hold: r.Hold, Unmanaged: r.Unmanaged, waits: r.WaitsFor(), record: r,
	}
	if f := r.LastFailure; f != nil {
		e.Class, e.Message = string(f.Class), f.Message
	}
	return e
}

// WriteExpiring prints one line per certificate, nearest expiry first.
func WriteExpiring(w io.Writer, p Palette, dto Expiring) {
	if len(dto.Certificates) == 0 {
		printer{w}.f("Nothing expires within %s.\n", text.Counted(dto.Days, "day"))
		return
	}
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	out := printer{tw}
	cut := false
	out.f("CERTIFICATE\tEXPIRES\tLEFT\tRENEWED\tSTATE\tWHY\n")
	for _, e := range dto.Certificates {
		because, short := tableCell(why(e, dto.Time))
		cut = cut || short
		out.f("%s\t%s\t%s\t%s\t%s\t%s\n", text.Line(e.Certificate), text.Stamp(e.NotAfter), left(e.NotAfter, dto.Time), renewed(e), stateWord(e.record, e.Standing), because)
	}
	_ = tw.Flush()
	printer{w}.f("\n%s within %s, %s.\n", text.Counted(len(dto.Certificates), "certificate"), text.Counted(dto.Days, "day"),
		p.bold(sprint("%d not in order", dto.NotInOrder)))
	records := make([]*ledger.Record, len(dto.Certificates))
	for i, e := range dto.Certificates {
		records[i] = e.record
	}
	writeUnrenewed(w, p, records, dto.Time)
	if cut {
		printer{w}.f("certroll status NAME shows the whole story of one.\n")
	}
}

// left returns the remaining time.
func left(end, now time.Time) string {
	if !end.After(now) {
		return "none"
	}
	return text.TimeLeft(end.Sub(now))
}

// narrow is the width of sentences under a table; it fits any terminal.
const narrow = 78

// writeUnrenewed prints the alarm about certificates that expire soon with renewal off.
func writeUnrenewed(w io.Writer, p Palette, records []*ledger.Record, now time.Time) {
	var names []string
	for _, r := range records {
		if r.EndsUnrenewed(now) {
			names = append(names, r.Certificate)
		}
	}
	if len(names) > 0 {
		alarm := sprint("Close to its end, and not renewed by itself: %s. certroll enable NAME --reason TEXT turns the renewal on again.", text.Some(names, 5))
		printer{w}.f("%s\n", p.red(wrap(text.Line(alarm), narrow)))
	}
}

func renewed(e Expiry) string {
	if e.Auto {
		return "by itself"
	}
	return "by nobody"
}

func why(e Expiry, now time.Time) string {
	switch {
	case e.Standing == ledger.StateFailing || e.Standing == ledger.StatePaging:
		return tail{causeOf(e.record, e.Standing), again(e.record, now)}.whole()
	case e.waits != "":
		return e.waits
	case e.RenewAt == nil:
		return ""
	case e.Standing == ledger.StateInOrder:
		return "it is renewed " + text.Stamp(*e.RenewAt)
	case e.Standing == ledger.StateDue:
		return "due since " + text.Stamp(*e.RenewAt) + ", the next run renews it"
	default:
		return "due since " + text.Stamp(*e.RenewAt) + ", but certroll has not tried: is certroll run up?"
	}
}

package view

import (
	"cmp"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"certroll/reconcile"
)

// StatusSchema is the version of the status' JSON shape.
const StatusSchema = 1

// Status is how the certificates stand. Arrays are never null.
type Status struct {
	Schema       int                 `json:"schema"`
	Live         int                 `json:"live"`
	Failing      int                 `json:"failing"`
	Retired      int                 `json:"retired"`
	Paging       int                 `json:"paging"`    // of the failing ones
	Overdue      int                 `json:"overdue"`   // of the live ones
	Unmanaged    int                 `json:"unmanaged"` // of the live ones
	Certificates []*reconcile.Record `json:"certificates"`
	// Problems are those of endpoints that do not serve what they should.
	Problems []reconcile.Problem `json:"problems"`
	Story    *Story              `json:"story"` // null unless one certificate was asked for

	standing map[string]reconcile.Standing
}

// NewStatus builds the view of the records, by name. What is served is for who
// knows it to add.
func NewStatus(records map[string]*reconcile.Record, now time.Time) Status {
	s := Status{Schema: StatusSchema, Problems: []reconcile.Problem{}, Certificates: make([]*reconcile.Record, 0, len(records)), standing: map[string]reconcile.Standing{}}
	c := reconcile.CountRecords(records)
	s.Live, s.Failing, s.Retired, s.Paging = c.Live, c.Failing, c.Retired, c.Paging
	for name, r := range records {
		s.Certificates = append(s.Certificates, r)
		s.standing[name] = r.Stands(now)
		switch s.standing[name] {
		case reconcile.StandsUnmanaged:
			s.Unmanaged++
		case reconcile.StandsOverdue:
			s.Overdue++
		}
	}
	slices.SortFunc(s.Certificates, func(a, b *reconcile.Record) int { return cmp.Compare(a.Certificate, b.Certificate) })
	return s
}

// Well tells whether nobody needs to be told: no one fails or is overdue, and
// what is served is what is there.
func (s Status) Well() bool { return s.Failing == 0 && s.Overdue == 0 && len(s.Problems) == 0 }

// WriteStatus prints one line a certificate, the worst first.
func WriteStatus(w io.Writer, p Palette, s Status) {
	if len(s.Certificates) == 0 {
		printer{w}.f("The ledger has no certificate yet: nothing was applied.\n")
		return
	}
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	out := printer{tw}
	cut := false
	out.f("CERTIFICATE\tSTATE\tEXPIRES\tRENEWS\tVAULT\tWAITS FOR\n")
	for _, standing := range reconcile.Standings {
		for _, r := range s.Certificates {
			if s.standing[r.Certificate] == standing {
				cut = statusLine(out, r, standing) || cut
			}
		}
	}
	_ = tw.Flush()
	WriteServed(w, p, s.Problems)
	printer{w}.f("\n%s%s%s, %s%s.\n", sprint("%d live", s.Live), among(s.Unmanaged, "unmanaged"), among(s.Overdue, "overdue"),
		p.bold(sprint("%d failing", s.Failing)), among(s.Paging, "paging"))
	if cut {
		printer{w}.f("certroll status NAME tells the whole story of one.\n")
	}
}

// longestCell is how much of a message stands in a table, in runes.
const longestCell = 120

// tableCell is a text for the last column of a table, and whether it was cut.
func tableCell(s string) (string, bool) {
	s = oneLine(s)
	short := clip(s, longestCell)
	return short, short != s
}

func among(n int, what string) string {
	if n == 0 {
		return ""
	}
	return sprint(" (%d %s)", n, what)
}

// statusLine prints one line, and tells whether it is not all there is to say.
func statusLine(out printer, r *reconcile.Record, standing reconcile.Standing) bool {
	expires, where := "-", "-"
	if r.Live != nil {
		expires = r.Live.NotAfter.UTC().Format(time.DateOnly)
		where = sprint("%s/%s v%d", r.Live.Mount, r.Live.Path, r.Live.Version)
	}
	waits, cut := tableCell(r.WaitsFor())
	out.f("%s\t%s\t%s\t%s\t%s\t%s\n", r.Certificate, stateWord(r, standing), expires, dateOr(r.RenewAt, "-"), where, waits)
	return cut
}

// stateWord is the state as a person reads it.
func stateWord(r *reconcile.Record, s reconcile.Standing) string {
	switch s {
	case reconcile.StandsPaging:
		return "failing, page"
	case reconcile.StandsUnmanaged, reconcile.StandsOverdue:
		return string(s)
	default:
		return string(r.State)
	}
}

func dateOr(t *time.Time, or string) string {
	if t == nil {
		return or
	}
	return t.UTC().Format(time.DateOnly)
}

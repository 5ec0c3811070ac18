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
	Story        *Story              `json:"story"` // null unless one certificate was asked for

	standing map[string]reconcile.Standing
}

// NewStatus builds the view of the records, by name.
func NewStatus(records map[string]*reconcile.Record, now time.Time) Status {
	s := Status{Schema: StatusSchema, Certificates: make([]*reconcile.Record, 0, len(records)), standing: map[string]reconcile.Standing{}}
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

// Well tells whether nobody needs to be told: no one fails or is overdue.
func (s Status) Well() bool { return s.Failing == 0 && s.Overdue == 0 }

// WriteStatus prints one line a certificate, the worst first.
func WriteStatus(w io.Writer, p Palette, s Status) {
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	out := printer{tw}
	out.f("CERTIFICATE\tSTATE\tEXPIRES\tRENEWS\tVAULT\tWAITS FOR\n")
	for _, standing := range reconcile.Standings {
		for _, r := range s.Certificates {
			if s.standing[r.Certificate] == standing {
				statusLine(out, r, standing)
			}
		}
	}
	_ = tw.Flush()
	printer{w}.f("\n%s%s%s, %s%s.\n", sprint("%d live", s.Live), among(s.Unmanaged, "unmanaged"), among(s.Overdue, "overdue"),
		p.bold(sprint("%d failing", s.Failing)), among(s.Paging, "paging"))
}

func among(n int, what string) string {
	if n == 0 {
		return ""
	}
	return sprint(" (%d %s)", n, what)
}

func statusLine(out printer, r *reconcile.Record, standing reconcile.Standing) {
	expires, where := "-", "-"
	if r.Live != nil {
		expires = r.Live.NotAfter.UTC().Format(time.DateOnly)
		where = sprint("%s/%s v%d", r.Live.Mount, r.Live.Path, r.Live.Version)
	}
	out.f("%s\t%s\t%s\t%s\t%s\t%s\n", r.Certificate, stateWord(r, standing), expires, dateOr(r.RenewAt, "-"), where, oneLine(r.WaitsFor()))
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

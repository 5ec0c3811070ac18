package view

import (
	"io"
	"sort"
	"strings"
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
	Certificates []*reconcile.Record `json:"certificates"` // by name
}

// NewStatus builds the view of the records.
func NewStatus(records map[string]*reconcile.Record) Status {
	s := Status{Schema: StatusSchema, Certificates: make([]*reconcile.Record, 0, len(records))}
	for _, r := range records {
		s.Certificates = append(s.Certificates, r)
		switch r.State {
		case reconcile.StateLive:
			s.Live++
		case reconcile.StateFailing:
			s.Failing++
		case reconcile.StateRetired:
			s.Retired++
		}
	}
	sort.Slice(s.Certificates, func(i, j int) bool { return s.Certificates[i].Certificate < s.Certificates[j].Certificate })
	return s
}

// WriteStatus prints one line a certificate, failures first.
func WriteStatus(w io.Writer, p Palette, s Status) {
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	out := printer{tw}
	out.f("CERTIFICATE\tSTATE\tEXPIRES\tRENEWS\tVAULT\tWAITS FOR\n")
	for _, failing := range []bool{true, false} {
		for _, r := range s.Certificates {
			if (r.State == reconcile.StateFailing) == failing {
				statusLine(out, r)
			}
		}
	}
	_ = tw.Flush()
	printer{w}.f("\n%s, %s.\n", sprint("%d live", s.Live), p.bold(sprint("%d failing", s.Failing)))
}

func statusLine(out printer, r *reconcile.Record) {
	expires, renews, where, waits := "-", "-", "-", ""
	if r.Live != nil {
		expires = r.Live.NotAfter.UTC().Format(time.DateOnly)
		where = sprint("%s/%s v%d", r.Live.Mount, r.Live.Path, r.Live.Version)
	}
	if r.RenewAt != nil {
		renews = r.RenewAt.UTC().Format(time.DateOnly)
	}
	if r.Hold != nil {
		waits = sprint("%s: %s", r.Hold.Until.UTC().Format(time.RFC3339), r.Hold.Reason)
	}
	out.f("%s\t%s\t%s\t%s\t%s\t%s\n", r.Certificate, r.State, expires, renews, where, waits)
}

// WriteRecord prints all that is known of one certificate.
func WriteRecord(w io.Writer, p Palette, r *reconcile.Record) {
	out := printer{w}
	out.f("%s  %s\n", p.bold(r.Certificate), r.State)
	line := func(key, value string) {
		if value != "" {
			out.f("  %-13s %s\n", key, value)
		}
	}
	line("names", strings.Join(r.Names, ", "))
	line("declared in", r.File)
	if l := r.Live; l != nil {
		line("serial", l.Serial)
		line("valid", l.NotBefore.UTC().Format(time.RFC3339)+" to "+l.NotAfter.UTC().Format(time.RFC3339))
		line("key", l.KeyShape+", since "+l.KeySince.UTC().Format(time.DateOnly)+", SPKI SHA-256 "+l.KeyDigest)
		line("issuer", l.Issuer+" ("+l.Directory+")")
		line("Vault", sprint("%s/%s version %d", l.Mount, l.Path, l.Version))
		line("revision", l.Revision)
	}
	if r.RenewAt != nil {
		line("renews", r.RenewAt.UTC().Format(time.RFC3339))
	}
	if f := r.LastFailure; f != nil {
		line("failures", sprint("%d in a row, the last %s: %s", r.Failures, f.At.UTC().Format(time.RFC3339), f.Class))
		out.f("%s\n", indent(wrap(f.Message, 90), "                "))
	}
	if h := r.Hold; h != nil {
		line("waits until", h.Until.UTC().Format(time.RFC3339)+", "+h.Reason)
	}
}

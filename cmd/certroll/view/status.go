package view

import (
	"cmp"
	"io"
	"slices"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/statuspage"
	"certroll/spec/text"
)

// StatusSchema is the version of the status' JSON.
const StatusSchema = 1

// Status is the state of the certificates. Arrays are never null.
type Status struct {
	Schema       int              `json:"schema"`
	Live         int              `json:"live"`
	Failing      int              `json:"failing"`
	Retired      int              `json:"retired"`
	Paging       int              `json:"paging"`    // of the failing ones
	Revoked      int              `json:"revoked"`   // live, but revoked by the CA
	Deleted      int              `json:"deleted"`   // deleted in Vault by another program
	Overdue      int              `json:"overdue"`   // of the live ones
	Unmanaged    int              `json:"unmanaged"` // of the live ones
	Certificates []*ledger.Record `json:"certificates"`
	// Problems are those of endpoints that serve the wrong certificate.
	Problems []ledger.Problem `json:"problems"`
	Story    *Story           `json:"story"` // null unless one certificate was named
	// Service is certroll run's own report; null if it serves nothing.
	Service *Service `json:"service"`
	// LedgerError explains why the ledger could not be read; Service then replaces it.
	LedgerError string `json:"ledger_error"`

	states    map[string]ledger.State // by certificate
	stillLive int                     // failing, with a live certificate
	now       time.Time
}

// NewStatus builds the view of the records, by name. The caller adds the endpoints'
// problems.
func NewStatus(records map[string]*ledger.Record, now time.Time) Status {
	s := Status{Schema: StatusSchema, Problems: []ledger.Problem{}, Certificates: make([]*ledger.Record, 0, len(records)), states: map[string]ledger.State{}, now: now}
	c := statuspage.CountRecords(records)
	s.Live, s.Failing, s.Retired, s.Paging = c.Live, c.Failing, c.Retired, c.Paging
	for name, r := range records {
		s.Certificates = append(s.Certificates, r)
		s.states[name] = r.StateAt(now)
		switch s.states[name] {
		case ledger.StateRevoked:
			s.Revoked++
		case ledger.StateDeleted:
			s.Deleted++
		case ledger.StateUnmanaged:
			s.Unmanaged++
		case ledger.StateOverdue:
			s.Overdue++
		case ledger.StateFailing, ledger.StatePaging:
			if r.Live != nil && r.Live.End().After(now) {
				s.stillLive++
			}
		}
	}
	slices.SortFunc(s.Certificates, func(a, b *ledger.Record) int { return cmp.Compare(a.Certificate, b.Certificate) })
	return s
}

// Well reports whether no action is needed: no certificate fails or is overdue,
// endpoints serve the certificates in Vault, and certroll run works. Unlike State.Well it
// accepts an unmanaged certificate, because a person turned its renewal off: the exit code of
// status would else stay 1 all along. expiring reports it close to its end.
func (s Status) Well() bool {
	return s.Revoked == 0 && s.Deleted == 0 && s.Failing == 0 && s.Overdue == 0 && len(s.Problems) == 0 && !s.Service.Ill()
}

// WriteStatus prints the state of certroll run, then one line per certificate, worst
// first. width is the number of columns; 0: no terminal, and no limit.
func WriteStatus(w io.Writer, p Palette, s Status, width int) {
	s.Service.write(w, p, s.now)
	if s.LedgerError != "" {
		printer{w}.f("The ledger cannot be read; certroll run says:\n  %s\n\n", hang(s.LedgerError, 2))
		s.Service.writeCertificates(w, s.now, width)
		return
	}
	if len(s.Certificates) == 0 {
		printer{w}.f("The ledger has no certificate yet: nothing was applied.\n")
	} else {
		var t statusTable
		for _, state := range ledger.RecordStates {
			for _, r := range s.Certificates {
				if s.states[r.Certificate] == state {
					t.add(r.Certificate, coarseWord(r, state), expiresIn(r, s.now), causeOf(r, state), again(r, s.now))
				}
			}
		}
		t.write(w, width)
	}
	WriteServed(w, p, s.Problems)
	writeLeftBehind(printer{w}, s.Certificates)
	printer{w}.f("\n%s%s%s, %s%s.\n", sprint("%d live", s.Live), among(s.Unmanaged, "unmanaged"), among(s.Overdue, "overdue")+among(s.Revoked, "revoked")+among(s.Deleted, "deleted"),
		p.bold(sprint("%d failing", s.Failing)), among(s.Paging, "paging")+among(s.stillLive, "still live"))
	writeUnrenewed(w, p, s.Certificates, s.now)
	if s.Failing > 0 {
		printer{w}.f("certroll status NAME shows the whole story of one.\n")
	}
	s.Service.writeAbsence(w, p)
}

// writeLeftBehind prints the old secrets of moved certificates.
func writeLeftBehind(out printer, records []*ledger.Record) {
	for _, r := range records {
		for _, line := range r.LeftText() {
			out.f("\nLeft behind by %s: %s\n", text.Line(r.Certificate), text.Line(line))
		}
	}
}

func among(n int, what string) string {
	if n == 0 {
		return ""
	}
	return sprint(" (%d %s)", n, what)
}

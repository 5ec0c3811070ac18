package view

import (
	"io"
	"strings"
	"time"

	"certroll/spec/text"
)

// Service is the state of certroll run by its own report. Arrays are never null.
type Service struct {
	Address  string     `json:"address"`
	Error    string     `json:"error"`     // why it did not answer; "" if it did
	LastPass *time.Time `json:"last_pass"` // null: no pass has ended yet
	NextPass *time.Time `json:"next_pass"`
	// PassError is the error of the last pass; "" if it succeeded.
	PassError string `json:"pass_error"`
	// Faults are systems that it cannot use, and changes that wait for a person.
	Faults []string `json:"troubles"`
	// Settings are differences between certroll.hcl on disk and the settings in use.
	// They do not make the service ill.
	Settings []string `json:"settings_notes"`
	// Revision explains why the newest revision is not in force; "" if it is.
	Revision string        `json:"revision_not_in_force"`
	AtWork   []ServiceWork `json:"at_work"`
	// Missing are certificates of the spec without a record.
	Missing []string `json:"missing"`
	// Certificates are all known certificates, worst first; none if the ledger itself
	// was read.
	Certificates []ServiceCertificate `json:"certificates"`
}

// ServiceCertificate is the state of one certificate according to certroll run.
type ServiceCertificate struct {
	Certificate string     `json:"certificate"`
	State       string     `json:"state"` // as on the status page
	NotAfter    *time.Time `json:"not_after"`
	Class       string     `json:"class"`
	Message     string     `json:"message"`
	Cause       string     `json:"cause"` // of the message, as on the status page
	Until       *time.Time `json:"until"` // time of the next try; null: no hold
}

// ServiceWork is one attempt in progress.
type ServiceWork struct {
	Certificate string    `json:"certificate"`
	Operation   string    `json:"operation"`
	Since       time.Time `json:"since"`
	At          string    `json:"at"` // the step
}

// Ill reports whether certroll run answered that it cannot work. A missing answer does
// not count: it may run elsewhere.
func (s *Service) Ill() bool {
	return s != nil && s.Error == "" && (s.PassError != "" || len(s.Faults) > 0 || s.Revision != "")
}

// write prints the service's state; nothing if all is well.
func (s *Service) write(w io.Writer, p Palette, now time.Time) {
	if s == nil {
		return
	}
	out := printer{w}
	name := "certroll run at " + text.Line(s.Address)
	switch {
	case s.Error != "":
		return // writeAbsence reports it at the end
	case s.PassError != "":
		out.f("%s\n", p.red(name+": the last pass failed "+when(*s.LastPass, now)+": "+text.Line(s.PassError)))
	case s.LastPass == nil:
		out.f("%s: the first pass has not ended yet.\n", name)
	default:
		out.f("%s: the last pass ended %s.\n", name, when(*s.LastPass, now))
	}
	for _, fault := range s.Faults {
		out.f("%s\n", p.red("  "+text.Line(fault)))
	}
	if s.Revision != "" {
		out.f("%s\n", p.red("  "+text.Line(s.Revision)))
	}
	for _, note := range s.Settings {
		out.f("%s\n", p.yellow("  "+text.Line(note)))
	}
	for _, work := range s.AtWork {
		out.f("  at work: %s, %s since %s: %s\n", text.Line(work.Certificate), text.Line(work.Operation), strings.TrimSuffix(when(work.Since, now), " ago"), text.Line(work.At))
	}
	if len(s.Missing) > 0 {
		out.f("  not issued yet: %s\n", text.Line(text.Some(s.Missing, 5)))
	}
	out.f("\n")
}

// writeAbsence reports a missing answer.
func (s *Service) writeAbsence(w io.Writer, p Palette) {
	if s != nil && s.Error != "" {
		printer{w}.f("%s\n", p.dim("No certroll run answers at "+text.Line(s.Address)+" ("+text.Line(s.Error)+"): this is what the ledger says."))
	}
}

// writeCertificates prints the certificates as certroll run knows them.
func (s *Service) writeCertificates(w io.Writer, now time.Time, width int) {
	var t statusTable
	for _, c := range s.Certificates {
		expires, next := "-", ""
		if c.NotAfter != nil {
			expires = when(*c.NotAfter, now)
		}
		if c.Until != nil {
			next = "next try " + when(*c.Until, now)
		}
		t.add(c.Certificate, c.State, expires, c.Cause, next)
	}
	t.write(w, width)
}

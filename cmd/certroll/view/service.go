package view

import (
	"io"
	"strings"
	"time"

	"certroll/spec/text"
)

// Service is how certroll run is, as it says itself. Arrays are never null.
type Service struct {
	Address  string     `json:"address"`
	Error    string     `json:"error"`     // why it did not answer; "" where it did
	LastPass *time.Time `json:"last_pass"` // null: none has ended yet
	NextPass *time.Time `json:"next_pass"`
	// PassError is why the last pass failed; "" where it did not.
	PassError string `json:"pass_error"`
	// Troubles are what it cannot do its work with, or waits for a person.
	Troubles []string `json:"troubles"`
	// Settings say where certroll.hcl on disk is not what is in use; they make it no ill
	// service.
	Settings []string `json:"settings_notes"`
	// Revision says that the newest revision is not in force, and why; "" where it is.
	Revision string        `json:"revision_not_in_force"`
	AtWork   []ServiceWork `json:"at_work"`
	// Missing are certificates of the spec that have no record yet.
	Missing []string `json:"missing"`
	// Certificates are all that it knows of, the worst first; none where the ledger
	// itself was read.
	Certificates []ServiceCertificate `json:"certificates"`
}

// ServiceCertificate is how one certificate stands, as certroll run has it.
type ServiceCertificate struct {
	Certificate string     `json:"certificate"`
	State       string     `json:"state"` // as on the status page
	NotAfter    *time.Time `json:"not_after"`
	Class       string     `json:"class"`
	Message     string     `json:"message"`
	Cause       string     `json:"cause"` // of the message, as on the status page
	Until       *time.Time `json:"until"` // when it is tried again; null: nothing holds it
}

// ServiceWork is one attempt that is under way.
type ServiceWork struct {
	Certificate string    `json:"certificate"`
	Operation   string    `json:"operation"`
	Since       time.Time `json:"since"`
	At          string    `json:"at"` // the step
}

// Ill reports whether it answered that it cannot do its work. A service that did
// not answer may run elsewhere, and is none.
func (s *Service) Ill() bool {
	return s != nil && s.Error == "" && (s.PassError != "" || len(s.Troubles) > 0 || s.Revision != "")
}

// write prints it; nothing where there is nothing to say.
func (s *Service) write(w io.Writer, p Palette, now time.Time) {
	if s == nil {
		return
	}
	out := printer{w}
	name := "certroll run at " + text.Line(s.Address)
	switch {
	case s.Error != "":
		return // which is said last
	case s.PassError != "":
		out.f("%s\n", p.red(name+": the last pass failed "+when(*s.LastPass, now)+": "+text.Line(s.PassError)))
	case s.LastPass == nil:
		out.f("%s: the first pass has not ended yet.\n", name)
	default:
		out.f("%s: the last pass ended %s.\n", name, when(*s.LastPass, now))
	}
	for _, trouble := range s.Troubles {
		out.f("%s\n", p.red("  "+text.Line(trouble)))
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

// writeAbsence says that it did not answer: it may run elsewhere, or nowhere.
func (s *Service) writeAbsence(w io.Writer, p Palette) {
	if s != nil && s.Error != "" {
		printer{w}.f("%s\n", p.dim("No certroll run answers at "+text.Line(s.Address)+" ("+text.Line(s.Error)+"): this is what the ledger says."))
	}
}

// writeCertificates prints what certroll run knows of the certificates.
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

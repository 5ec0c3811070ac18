package view

import (
	"io"
	"slices"
	"strings"
	"time"

	"certroll/reconcile/ledger"
	"certroll/spec/text"
)

// lastFailures bounds the failures in a story.
const lastFailures = 5

// Story is the audit log's part of one certificate's status.
type Story struct {
	Standing    ledger.State   `json:"standing"`
	KeyAgeDays  int            `json:"key_age_days"` // -1: no live certificate
	LastRenewal *ledger.Event  `json:"last_renewal"` // the last successful order, or null
	NextBy      string         `json:"next_by"`      // the origin of renew_at; "" without one
	Failures    []ledger.Event `json:"failures"`     // the last five, newest first
}

// NewStory builds the story from a certificate's events, oldest first.
func NewStory(r *ledger.Record, events []ledger.Event, now time.Time) *Story {
	s := &Story{Standing: r.StateAt(now), KeyAgeDays: -1, NextBy: string(r.NextBy()), Failures: []ledger.Event{}}
	if r.Live != nil {
		s.KeyAgeDays = int(now.Sub(r.Live.KeySince) / (24 * time.Hour))
	}
	for _, e := range slices.Backward(events) {
		switch {
		case e.Operation == ledger.KindDoctor || e.Operation == ledger.KindProbe: // checks are no attempts
		case e.Status == ledger.Success && s.LastRenewal == nil && (e.Operation.Orders() || e.Operation == ledger.KindAdopt && e.Reason != ledger.ReasonRenamed):
			s.LastRenewal = &e
		case (e.Status == ledger.Failed || e.Status == ledger.Denied) && len(s.Failures) < lastFailures:
			s.Failures = append(s.Failures, e)
		}
	}
	return s
}

// WriteStory prints the status of one certificate.
func WriteStory(w io.Writer, p Palette, r *ledger.Record, s *Story) {
	out := printer{w}
	out.f("%s  %s\n", p.bold(r.Certificate), coarseWord(r, s.Standing))
	line := func(key, value string) {
		if value != "" {
			out.f("  %-13s %s\n", key, hang(value, 16))
		}
	}
	line("names", strings.Join(r.Names, ", "))
	line("declared in", r.File)
	if r.Live != nil {
		writeLive(line, r.Live, s)
	}
	line("probed", strings.Join(r.Probe, ", "))
	line("last renewal", lastRenewal(s.LastRenewal))
	line("renews", nextRenewal(r, s))
	if r.Unmanaged != nil {
		line("paused", r.Unmanaged.String())
	}
	for _, left := range r.LeftText() {
		line("left behind", left)
	}
	for _, waiting := range r.Revocations {
		line("to revoke", sprint("serial %s of issuer.%s, in %s/%s version %d, code %d", waiting.Serial, waiting.Issuer, waiting.Mount, waiting.Path, waiting.Version, waiting.Code))
	}
	if f := r.LastFailure; f != nil {
		line("failures", failed(r)+": "+string(f.Class))
		out.f("%s\n", indent(message(f.Message, 90), "                "))
	}
	if h := r.Hold; h != nil {
		why := h.Reason
		if f := r.LastFailure; f != nil {
			why = ledger.WithoutMessage(why, f.Message)
		}
		line("waits until", text.Stamp(h.Until)+", "+why+sooner(r))
	}
	writeFailures(out, p, r.LastFailure, s.Failures)
}

// failed describes the number and times of consecutive failures.
func failed(r *ledger.Record) string {
	if r.Failures == 1 {
		return "1, at " + text.Stamp(r.LastFailure.At)
	}
	return sprint("%d in a row%s, the last %s", r.Failures, since(r.FailingSince), text.Stamp(r.LastFailure.At))
}

// sooner suggests how to end a hold early. A retry does not end the CA's own limits.
func sooner(r *ledger.Record) string {
	if f := r.LastFailure; f == nil || f.Class == ledger.ClassRateLimited {
		return ""
	}
	return "; certroll retry " + r.Certificate + " ends the wait once you fixed the cause"
}

func writeLive(line func(key, value string), l *ledger.Live, s *Story) {
	line("serial", l.Serial)
	line("valid", text.Stamp(l.NotBefore)+" to "+text.Stamp(l.NotAfter))
	if end := l.End(); end.Before(l.NotAfter) {
		line("chain", "ends "+text.Stamp(end)+", before the certificate: clients refuse it from then on")
	}
	line("key", sprint("%s, since %s (%s), SPKI SHA-256 %s", l.KeyShape, l.KeySince.UTC().Format(time.DateOnly), text.Counted(s.KeyAgeDays, "day"), l.KeyDigest))
	if l.NextKeyDigest != "" {
		since := ""
		if l.NextKeySince != nil {
			since = ", published since " + text.Stamp(*l.NextKeySince)
		}
		line("next key", l.NextKeyShape+since)
		line("TLSA", tlsa(l.KeyDigest))
		line("TLSA next", tlsa(l.NextKeyDigest))
	}
	line("issuer", l.Issuer+" ("+l.Directory+")")
	line("DNS account", l.DNSAccount)
	line("Vault", sprint("%s/%s version %d", l.Mount, l.Path, l.Version))
	line("revision", l.Revision)
}

// tlsa returns the data of a TLSA record for a key: DANE-EE, SubjectPublicKeyInfo,
// SHA-256 (RFC 7671 section 5.1).
func tlsa(digest string) string { return "3 1 1 " + digest }

func lastRenewal(e *ledger.Event) string {
	if e == nil {
		return ""
	}
	s := sprint("%s, %s (%s)", text.Stamp(e.Time), e.Operation, Action{Reason: string(e.Reason)}.why())
	if e.Detail != "" && e.Reason != ledger.ReasonMissing { // the detail would only say that there is none yet
		s += ": " + text.Line(e.Detail)
	}
	if e.Actor != "" {
		s += ", by " + e.Actor
	}
	return s
}

func nextRenewal(r *ledger.Record, s *Story) string {
	if r.RenewAt == nil {
		return ""
	}
	switch ledger.Reason(s.NextBy) {
	case ledger.ReasonWindow:
		return sprint("%s, in the CA's suggested window, %s to %s", text.Stamp(*r.RenewAt), text.Stamp(r.RenewalInfo.Start), text.Stamp(r.RenewalInfo.End))
	case ledger.ReasonRevoking:
		return text.Stamp(*r.RenewAt) + ", because the CA wants it replaced"
	default:
		return text.Stamp(*r.RenewAt) + ", by its threshold"
	}
}

// writeFailures lists failures. A message that is printed above is not repeated; certroll
// audit prints all of them.
func writeFailures(out printer, p Palette, last *ledger.Failure, failures []ledger.Event) {
	if len(failures) == 0 {
		return
	}
	out.f("\n%s\n", p.bold("The last failures, the newest first"))
	printed := map[string]string{}
	if last != nil {
		printed[last.Message] = "the message above"
	}
	for _, e := range failures {
		said := printed[e.Message]
		if said == "" {
			said = message(e.Message, 90)
			printed[e.Message] = "as " + text.Stamp(e.Time)
		}
		out.f("  %s  %s %s (%s%s)\n%s\n", text.Stamp(e.Time), e.Operation, e.Status, e.Class, via(e), indent(said, "    "))
	}
}

// via names the issuer and DNS account of a failure.
func via(e ledger.Event) string {
	var parts []string
	if e.Issuer != "" {
		parts = append(parts, "issuer."+e.Issuer)
	}
	if e.DNSAccount != "" {
		parts = append(parts, "dns."+e.DNSAccount)
	}
	if len(parts) == 0 {
		return ""
	}
	return ", " + strings.Join(parts, ", ")
}

func since(t *time.Time) string {
	if t == nil {
		return ""
	}
	return " since " + text.Stamp(*t)
}

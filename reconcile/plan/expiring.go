package plan

import (
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/times"
	"certroll/spec/text"
)

// expirySoon is the longest time before the end at which certroll reports that a
// certificate is not renewed.
const expirySoon = 14 * times.Day

// expirySoonOf is that time for one certificate: at most half of the usual threshold, which
// is a third of the lifetime.
func expirySoonOf(l *ledger.Live) time.Duration { return min(expirySoon, l.Lifetime()/6) }

// ExpiringEvents returns an event for each certificate that waits for another chain, and
// for each that expires soon and is not in order. The ids derive from the serial in Vault,
// so the ledger keeps each event once.
func ExpiringEvents(actions []Action, rev ledger.Revision, now time.Time) []ledger.Event {
	events := chainEvents(actions, rev, now)
	for i := range actions {
		a := &actions[i]
		l := a.expires()
		if a.Spec == nil || a.Record == nil || l == nil || !endsSoon(l, a.Record, now) {
			continue
		}
		if s := a.Record.StateAt(now); !s.Well() {
			events = append(events, expiringEvent(a, l, s, rev, now))
		}
	}
	return events
}

// endsSoon reports whether to report the certificate now. A certificate that lives for
// hours and that certroll does not renew is reported at once: a sixth of its life would
// leave only minutes.
func endsSoon(l *ledger.Live, r *ledger.Record, now time.Time) bool {
	left := l.End().Sub(now)
	return left <= expirySoonOf(l) || left <= times.Day && r.EndsUnrenewed(now)
}

// expires returns the live certificate of the action; nil if there is none. If Vault cannot
// be read, it comes from the ledger.
func (a *Action) expires() *ledger.Live {
	switch {
	case a.HeldBy == ledger.UnreadableSubject && a.Record != nil:
		return a.Record.Live
	case a.Secret.Owner == a.Certificate:
		return a.Secret.Live
	default:
		return nil
	}
}

// expiringEvent returns the event about a certificate that expires soon. It carries the last
// failure and the hold, which explain the missing renewal.
func expiringEvent(a *Action, l *ledger.Live, s ledger.State, rev ledger.Revision, now time.Time) ledger.Event {
	when := "it expires "
	if !l.End().After(now) {
		when = "it expired "
	}
	e := ledger.Event{
		Schema: ledger.EventSchema, ID: ledger.EventID("expiring", a.Certificate, l.Serial), Time: now.UTC().Truncate(time.Millisecond),
		Operation: ledger.KindNote, Certificate: a.Certificate, Status: ledger.Held, Reason: ledger.ReasonExpiring, Actor: "schedule", Cause: "schedule",
		Revision: rev.Commit, OldSerial: l.Serial, Issuer: l.Issuer, VaultPath: a.At.String(), VaultVer: l.Version, Failures: a.Record.Failures,
		Detail: when + l.End().UTC().Format(time.RFC3339) + " and is not renewed: " + a.stateText(s),
	}
	if f := a.Record.LastFailure; f != nil {
		e.Class, e.Message, e.DNSAccount = f.Class, f.Message, f.DNSAccount
	}
	if h := a.Record.Hold; h != nil && h.Until.After(now) {
		e.HoldUntil = &h.Until
	}
	return e
}

// stateText says why a certificate that is not in order is not renewed.
func (a *Action) stateText(s ledger.State) string {
	r := a.Record
	if a.AtWork != nil {
		return "an attempt has been under way since " + a.AtWork.Since.UTC().Format(time.RFC3339)
	}
	switch s {
	case ledger.StateRevoked:
		return r.Revoked.Text()
	case ledger.StateDeleted:
		return r.GoneText()
	case ledger.StateUnmanaged:
		if r.Unmanaged != nil && r.Unmanaged.Reason != "" {
			return "renewal.auto is off (" + r.Unmanaged.Reason + ")"
		}
		return "renewal.auto is off"
	case ledger.StateOverdue:
		if r.Live != nil && r.Live.ChainKept {
			return "its chain ends before it, and the CA offers no other one"
		}
		return "it is due, and certroll has not tried yet"
	default:
		return "it has failed " + text.Counted(r.Failures, "time") + " in a row"
	}
}

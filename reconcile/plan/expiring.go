package plan

import (
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/times"
	"certroll/spec/text"
)

// expirySoon is how long before its end it is told at most that a certificate
// is not renewed.
const expirySoon = 14 * times.Day

// expirySoonOf is how long before its end that is told of one certificate: half
// of the time that there is to renew it by the usual threshold.
func expirySoonOf(l *ledger.Live) time.Duration { return min(expirySoon, l.Lifetime()/6) }

// ExpiringEvents tell of what waits for another chain, and of what expires soon and
// is not in order. Their ids are of the certificate in Vault: each is told once.
func ExpiringEvents(actions []Action, rev ledger.Revision, now time.Time) []ledger.Event {
	events := chainEvents(actions, rev, now)
	for i := range actions {
		a := &actions[i]
		l := a.expires()
		if a.Spec == nil || a.Record == nil || l == nil || !endsSoon(l, a.Record, now) {
			continue
		}
		if s := a.Record.Stands(now); !s.Well() {
			events = append(events, expiringEvent(a, l, s, rev, now))
		}
	}
	return events
}

// endsSoon tells whether it is time to tell of it. One that nobody renews and that
// lives for hours is told of at once: its turn would come minutes before its end.
func endsSoon(l *ledger.Live, r *ledger.Record, now time.Time) bool {
	left := l.End().Sub(now)
	return left <= expirySoonOf(l) || left <= times.Day && r.EndsUnrenewed(now)
}

// expires is what is live of the action's certificate; of one whose secret
// cannot be looked at it is what the ledger says. nil where there is none.
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

func expiringEvent(a *Action, l *ledger.Live, s ledger.Standing, rev ledger.Revision, now time.Time) ledger.Event {
	when := "it expires "
	if !l.End().After(now) {
		when = "it expired "
	}
	e := ledger.Event{
		Schema: ledger.EventSchema, ID: ledger.EventID("expiring", a.Certificate, l.Serial), Time: now.UTC().Truncate(time.Millisecond),
		Operation: ledger.KindNote, Certificate: a.Certificate, Status: ledger.Held, Reason: ledger.ReasonExpiring, Actor: "schedule", Cause: "schedule",
		Revision: rev.Commit, OldSerial: l.Serial, Issuer: l.Issuer, VaultPath: a.At.String(), VaultVer: l.Version, Failures: a.Record.Failures,
		Detail: when + l.End().UTC().Format(time.RFC3339) + " and is not renewed: " + a.standingText(s),
	}
	if f := a.Record.LastFailure; f != nil {
		e.Class, e.Message, e.DNSAccount = f.Class, f.Message, f.DNSAccount
	}
	if h := a.Record.Hold; h != nil && h.Until.After(now) {
		e.HoldUntil = &h.Until
	}
	return e
}

// standingText says why one that is not in order is not renewed.
func (a *Action) standingText(s ledger.Standing) string {
	r := a.Record
	if a.AtWork != nil {
		return "an attempt has been under way since " + a.AtWork.Since.UTC().Format(time.RFC3339)
	}
	switch s {
	case ledger.StandsRevoked:
		return r.Revoked.Text()
	case ledger.StandsDeleted:
		return r.GoneText()
	case ledger.StandsUnmanaged:
		if r.Unmanaged != nil && r.Unmanaged.Reason != "" {
			return "renewal.auto is off (" + r.Unmanaged.Reason + ")"
		}
		return "renewal.auto is off"
	case ledger.StandsOverdue:
		if r.Live != nil && r.Live.ChainKept {
			return "its chain ends before it, and the CA offers no other one"
		}
		return "it is due, and certroll has not tried yet"
	default:
		return "it has failed " + text.Counted(r.Failures, "time") + " in a row"
	}
}

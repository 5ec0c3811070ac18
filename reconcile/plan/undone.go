package plan

import (
	"fmt"
	"slices"
	"time"

	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/times"
	"certroll/spec/text"
)

const (
	// undoneShare limits how often certroll replaces a secret that another program deletes
	// or overwrites: once per 1/undoneShare of the certificate's life, so at most ten
	// orders per life.
	undoneShare = 10
	// restoreAfter is the wait before certroll restores a secret that was overwritten
	// again. Writing certroll's version back asks no CA, so that the readers' need bounds
	// the wait and not a rate limit.
	restoreAfter = time.Hour
	// MostUndone is how many occurrences a record keeps, as evidence.
	MostUndone = 5
)

// Undoes reports whether an action restores a secret that certroll had written, by its
// record, and that another program or a limit of Vault's removed or overwrote.
func (a *Action) Undoes() bool {
	switch a.Reason {
	case ledger.ReasonMissing, ledger.ReasonDeleted, ledger.ReasonForeign:
		r := a.Record
		return r.HasSecret() && a.At == ledger.Location{Mount: r.Live.Mount, Path: r.Live.Path}
	case ledger.ReasonDrifted:
		return true
	default:
		return false
	}
}

// undoneIn returns the period in which a second occurrence is held; 0 if the lifetime is
// unknown.
func undoneIn(r *ledger.Record) time.Duration {
	if r == nil || r.Live == nil {
		return 0
	}
	return (r.Live.Lifetime() / undoneShare).Truncate(time.Second)
}

// LastUndone returns the last occurrence in that period; nil if there is none. It skips a
// time in the future, which a clock that ran ahead noted: the hold would last until then.
func LastUndone(r *ledger.Record, now time.Time) *ledger.Undone {
	if r == nil {
		return nil
	}
	for _, u := range slices.Backward(r.Undone) {
		if !u.At.After(now.Add(keypair.MaxSkew)) && now.Before(u.At.Add(undoneIn(r))) {
			return &u
		}
	}
	return nil
}

// UndoneUntil returns the end of the period that began with an occurrence.
func UndoneUntil(r *ledger.Record, u *ledger.Undone) time.Time { return u.At.Add(undoneIn(r)) }

// holdUndone holds the second replacement within a tenth of the certificate's life.
// certroll orders nothing again in that period, and restores nothing for an hour. The
// record keeps the occurrences, so that a restart or another replica does not start over.
//
//	written   gone        gone         gone
//	   ├───────┼── ordered ┼── held ────┼── ordered ──▶
//	           └────── life/10 ────────┘
func holdUndone(s *Situation, a Action) Action {
	last := LastUndone(s.record, s.Now)
	if last == nil || !a.Undoes() {
		return a
	}
	until := UndoneUntil(s.record, last)
	why := undoneText(s, &a, until)
	// A deleted secret needs an order. For an overwritten one certroll first restores its
	// own version.
	if a.Reason != ledger.ReasonDrifted && a.Reason != ledger.ReasonForeign {
		a.hold(ledger.ReasonUndone, until, why)
		return a
	}
	if again := times.Sooner(last.At.Add(restoreAfter), until); again.After(s.Now) {
		a.hold(ledger.ReasonUndone, again, why)
		return a
	}
	// Restoring may still find that its version is gone, and would then order.
	a.orderNotBefore(until, why)
	return a
}

// IsUndone reports whether a repair may not order because certroll has already replaced the
// secret in this period.
func (a *Action) IsUndone(now time.Time) bool {
	last := LastUndone(a.Record, now)
	return a.Undoes() && last != nil && !a.OrderFrom.After(UndoneUntil(a.Record, last))
}

// undoneText returns the evidence: this occurrence and the one before.
func undoneText(s *Situation, a *Action, until time.Time) string {
	how := "is gone again"
	if a.Reason == ledger.ReasonDrifted || a.Reason == ledger.ReasonForeign {
		how = "was overwritten again"
	}
	what := fmt.Sprintf("%s %s", a.At, how)
	if l := s.record.Live; l != nil {
		what += fmt.Sprintf(": certroll wrote version %d for the certificate of %s", l.Version, text.Stamp(l.IssuedAt))
	}
	switch at := s.secret.DeletedAt; {
	case !at.IsZero():
		what += fmt.Sprintf(", version %d was deleted %s", s.secret.Version, text.Stamp(at))
	case s.secret.Version == 0:
		what += ", and no version is left"
	case a.Reason == ledger.ReasonDrifted || a.Reason == ledger.ReasonForeign:
		what += fmt.Sprintf(", another program wrote version %d", s.secret.Version)
	default:
		what += fmt.Sprintf(", version %d is deleted", s.secret.Version)
	}
	before := LastUndone(s.record, s.Now)
	what += fmt.Sprintf("; the last time was %s, with version %d (%s)", text.Stamp(before.At), before.Version, undoneWords[before.Reason])
	advice := "find out who or what deletes it (delete_version_after of the secret or its mount, a clean-up job; Vault's audit log names the token)"
	if a.Reason == ledger.ReasonDrifted || a.Reason == ledger.ReasonForeign {
		advice = "find out who or what writes there (Vault's audit log names the token)"
	}
	if a.Reason == ledger.ReasonDeleted && s.secret.Owner == a.Certificate && !s.secret.Destroyed {
		advice += "; " + ledger.Undelete(a.At, s.secret.Version) + " brings it back without the CA"
	}
	return fmt.Sprintf("%s; nothing is ordered before %s: %s; certroll retry %s ends the wait", what, text.Stamp(until), advice, a.Certificate)
}

var undoneWords = map[ledger.Reason]string{
	ledger.ReasonMissing: "removed with all versions", ledger.ReasonDeleted: "deleted", ledger.ReasonDrifted: "overwritten", ledger.ReasonForeign: "overwritten, its metadata too",
}

// UndoneEvents returns the events of these holds, one per certificate and day. They page a
// person, because readers of the secret get nothing or a foreign pair.
func UndoneEvents(actions []Action, now time.Time) []ledger.Event {
	var events []ledger.Event
	for i := range actions {
		a := &actions[i]
		if a.Kind != ledger.KindHold || a.Reason != ledger.ReasonUndone {
			continue
		}
		e := ledger.HeldEvent(now, ledger.Subject("secret "+a.At.String()), ledger.ReasonUndone, a.Detail, ledger.ClassVault, "")
		e.Severity, e.Certificate = ledger.SeverityPage, a.Certificate
		e.VaultPath, e.VaultVer, e.HoldUntil = a.At.String(), a.Secret.Version, times.Optional(a.NotBefore)
		events = append(events, e)
	}
	return events
}

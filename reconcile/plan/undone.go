package plan

import (
	"fmt"
	"slices"
	"time"

	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/times"
)

const (
	// undoneShare is the part of a certificate's life in which certroll replaces
	// once what somebody else undoes. At most ten orders a life are somebody
	// else's doing by that, however often they delete.
	undoneShare = 10
	// restoreAfter is how long a secret that is overwritten again waits to be
	// restored. Writing certroll's version back asks no CA, so that the readers'
	// sake bounds the wait and not the CA's.
	restoreAfter = time.Hour
	// MostUndone is how many times a record remembers, as evidence.
	MostUndone = 5
)

// Undoes tells that an action puts back what certroll had written at that place
// by its record: somebody else, or a limit of Vault's, has undone it.
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

// undoneIn is the span in which the second time is held. A life that is not known
// has none.
func undoneIn(r *ledger.Record) time.Duration {
	if r == nil || r.Live == nil {
		return 0
	}
	return (r.Live.Lifetime() / undoneShare).Truncate(time.Second)
}

// LastUndone is the last time of that span, nil where there is none. A time that a
// clock which ran ahead has noted is passed over: it would hold until it comes.
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

// holdUndone holds what is undone for the second time within a tenth of its life:
// nothing is ordered in that span again, and nothing is restored for an hour. The
// record remembers, so that no restart and no replica begins anew.
//
//	written   gone        gone         gone
//	   ├───────┼── ordered ┼── held ────┼── ordered ──▶
//	           └────── life/10 ────────┘
func holdUndone(s *Situation, a Action) Action {
	last := LastUndone(s.record, s.Now)
	if last == nil || !a.Undoes() {
		return a
	}
	until := last.At.Add(undoneIn(s.record))
	why := undoneText(s, &a, until)
	if a.Reason != ledger.ReasonDrifted && a.Reason != ledger.ReasonForeign {
		a.hold(ledger.ReasonUndone, until, why)
		return a
	}
	if again := times.Sooner(last.At.Add(restoreAfter), until); again.After(s.Now) {
		a.hold(ledger.ReasonUndone, again, why)
		return a
	}
	a.orderNotBefore(until, why)
	return a
}

// IsUndone tells that an action which mends may not order, as what it mends was
// undone before.
func (a *Action) IsUndone(now time.Time) bool {
	last := LastUndone(a.Record, now)
	return a.Undoes() && last != nil && !a.OrderFrom.After(last.At.Add(undoneIn(a.Record)))
}

// undoneText is the evidence: what is undone now, and when it was before.
func undoneText(s *Situation, a *Action, until time.Time) string {
	how := "is gone again"
	if a.Reason == ledger.ReasonDrifted || a.Reason == ledger.ReasonForeign {
		how = "was overwritten again"
	}
	what := fmt.Sprintf("%s %s", a.At, how)
	if l := s.record.Live; l != nil {
		what += fmt.Sprintf(": certroll wrote version %d for the certificate of %s", l.Version, times.StampOf(l.IssuedAt))
	}
	switch at := s.secret.DeletedAt; {
	case !at.IsZero():
		what += fmt.Sprintf(", version %d was deleted %s", s.secret.Version, times.StampOf(at))
	case s.secret.Version == 0:
		what += ", and no version is left"
	case a.Reason == ledger.ReasonDrifted || a.Reason == ledger.ReasonForeign:
		what += fmt.Sprintf(", version %d is somebody else's", s.secret.Version)
	default:
		what += fmt.Sprintf(", version %d is deleted", s.secret.Version)
	}
	before := LastUndone(s.record, s.Now)
	what += fmt.Sprintf("; the last time was %s, with version %d (%s)", times.StampOf(before.At), before.Version, undoneWords[before.Reason])
	advice := "find out who or what deletes it (delete_version_after of the secret or its mount, a clean-up job; Vault's audit log names the token)"
	if a.Reason == ledger.ReasonDrifted || a.Reason == ledger.ReasonForeign {
		advice = "find out who or what writes there (Vault's audit log names the token)"
	}
	if a.Reason == ledger.ReasonDeleted && s.secret.Owner == a.Certificate && !s.secret.Destroyed {
		advice += "; " + ledger.Undelete(a.At, s.secret.Version) + " brings it back without the CA"
	}
	return fmt.Sprintf("%s; nothing is ordered before %s: %s; certroll retry %s ends the wait", what, times.StampOf(until), advice, a.Certificate)
}

var undoneWords = map[ledger.Reason]string{
	ledger.ReasonMissing: "removed with all versions", ledger.ReasonDeleted: "deleted", ledger.ReasonDrifted: "overwritten", ledger.ReasonForeign: "overwritten, its metadata too",
}

// UndoneEvents are the events of what is held so, one a certificate and day. A
// person is to be woken: what is gone is gone for its readers.
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

package reconcile

import (
	"fmt"
	"slices"
	"time"
)

// Undone is one time that certroll found gone, or overwritten, what it had
// written, and put something in its place.
type Undone struct {
	At        time.Time `json:"at"`            // when certroll wrote again
	Reason    Reason    `json:"reason"`        // missing, deleted, drifted or foreign
	Version   int       `json:"vault_version"` // that certroll had written
	WrittenAt time.Time `json:"written_at"`    // when that certificate was issued
}

const (
	// undoneShare is the part of a certificate's life in which certroll replaces
	// once what somebody else undoes. At most ten orders a life are somebody
	// else's doing by that, however often they delete.
	undoneShare = 10
	// restoreAfter is how long a secret that is overwritten again waits to be
	// restored. Writing certroll's version back asks no CA, so that the readers'
	// sake bounds the wait and not the CA's.
	restoreAfter = time.Hour
	// mostUndone is how many times a record remembers, as evidence.
	mostUndone = 5
)

// undoes tells that an action puts back what certroll had written at that place
// by its record: somebody else, or a limit of Vault's, has undone it.
func (a *Action) undoes() bool {
	switch a.Reason {
	case ReasonMissing, ReasonDeleted, ReasonForeign:
		r := a.Record
		return r.holds() && a.At == Location{r.Live.Mount, r.Live.Path}
	case ReasonDrifted:
		return true
	default:
		return false
	}
}

// undoneIn is the span in which the second time is held. A life that is not known
// has none.
func undoneIn(r *Record) time.Duration {
	if r == nil || r.Live == nil {
		return 0
	}
	return (r.Live.Lifetime() / undoneShare).Truncate(time.Second)
}

// lastUndone is the last time of that span, nil where there is none. A time that a
// clock which ran ahead has noted is passed over: it would hold until it comes.
func lastUndone(r *Record, now time.Time) *Undone {
	if r == nil {
		return nil
	}
	for _, u := range slices.Backward(r.Undone) {
		if !u.At.After(now.Add(maxSkew)) && now.Before(u.At.Add(undoneIn(r))) {
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
func holdUndone(s *situation, a Action) Action {
	last := lastUndone(s.record, s.now)
	if last == nil || !a.undoes() {
		return a
	}
	until := last.At.Add(undoneIn(s.record))
	why := undoneText(s, &a, until)
	if a.Reason != ReasonDrifted && a.Reason != ReasonForeign {
		a.hold(ReasonUndone, until, why)
		return a
	}
	if again := sooner(last.At.Add(restoreAfter), until); again.After(s.now) {
		a.hold(ReasonUndone, again, why)
		return a
	}
	a.orderNotBefore(until, why)
	return a
}

// isUndone tells that an action which mends may not order, as what it mends was
// undone before.
func (a *Action) isUndone(now time.Time) bool {
	last := lastUndone(a.Record, now)
	return a.undoes() && last != nil && !a.OrderFrom.After(last.At.Add(undoneIn(a.Record)))
}

// undoneText is the evidence: what is undone now, and when it was before.
func undoneText(s *situation, a *Action, until time.Time) string {
	how := "is gone again"
	if a.Reason == ReasonDrifted || a.Reason == ReasonForeign {
		how = "was overwritten again"
	}
	what := fmt.Sprintf("%s %s", a.At, how)
	if l := s.record.Live; l != nil {
		what += fmt.Sprintf(": certroll wrote version %d for the certificate of %s", l.Version, stampOf(l.IssuedAt))
	}
	switch at := s.secret.DeletedAt; {
	case !at.IsZero():
		what += fmt.Sprintf(", version %d was deleted %s", s.secret.Version, stampOf(at))
	case s.secret.Version == 0:
		what += ", and no version is left"
	case a.Reason == ReasonDrifted || a.Reason == ReasonForeign:
		what += fmt.Sprintf(", version %d is somebody else's", s.secret.Version)
	default:
		what += fmt.Sprintf(", version %d is deleted", s.secret.Version)
	}
	before := lastUndone(s.record, s.now)
	what += fmt.Sprintf("; the last time was %s, with version %d (%s)", stampOf(before.At), before.Version, undoneWords[before.Reason])
	advice := "find out who or what deletes it (delete_version_after of the secret or its mount, a clean-up job; Vault's audit log names the token)"
	if a.Reason == ReasonDrifted || a.Reason == ReasonForeign {
		advice = "find out who or what writes there (Vault's audit log names the token)"
	}
	if a.Reason == ReasonDeleted && s.secret.Owner == a.Certificate && !s.secret.Destroyed {
		advice += "; " + undelete(a.At, s.secret.Version) + " brings it back without the CA"
	}
	return fmt.Sprintf("%s; nothing is ordered before %s: %s; certroll retry %s ends the wait", what, stampOf(until), advice, a.Certificate)
}

var undoneWords = map[Reason]string{
	ReasonMissing: "removed with all versions", ReasonDeleted: "deleted", ReasonDrifted: "overwritten", ReasonForeign: "overwritten, its metadata too",
}

// noteUndone remembers in a record what the attempt has put back.
func (a *attempt) noteUndone(r *Record, now time.Time) {
	if !a.action.undoes() {
		return
	}
	u := Undone{At: now.UTC().Truncate(time.Second), Reason: a.action.Reason}
	if was := a.action.Record; was != nil && was.Live != nil {
		u.Version, u.WrittenAt = was.Live.Version, was.Live.IssuedAt
	}
	r.Undone = append(slices.Clone(r.Undone), u)
	r.Undone = r.Undone[max(0, len(r.Undone)-mostUndone):]
}

// undoneEvents are the events of what is held so, one a certificate and day. A
// person is to be woken: what is gone is gone for its readers.
func undoneEvents(actions []Action, now time.Time) []Event {
	var events []Event
	for i := range actions {
		a := &actions[i]
		if a.Kind != KindHold || a.Reason != ReasonUndone {
			continue
		}
		e := heldEvent(now, subject("secret "+a.At.String()), ReasonUndone, a.Detail, ClassVault, "")
		e.Severity, e.Certificate = SeverityPage, a.Certificate
		e.VaultPath, e.VaultVer, e.HoldUntil = a.At.String(), a.Secret.Version, optional(a.NotBefore)
		events = append(events, e)
	}
	return events
}

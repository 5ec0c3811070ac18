package ledger

import (
	"strings"
	"time"

	"certroll/reconcile/times"
	"certroll/spec"
)

// Standing says in one word how a certificate stands at a moment, as far as
// its record tells.
type Standing string

// The standings, the worst first.
const (
	StandsRevoked   Standing = "revoked"   // the CA revoked what is live
	StandsDeleted   Standing = "deleted"   // somebody else deleted what is live in Vault
	StandsPaging    Standing = "paging"    // failing, three times in a row or more
	StandsFailing   Standing = "failing"   // the last attempt failed
	StandsOverdue   Standing = "overdue"   // due for long, and nobody has tried
	StandsUnmanaged Standing = "unmanaged" // a person turned the renewal off
	StandsDue       Standing = "due"       // the next run renews it
	StandsInOrder   Standing = "in_order"  // it is renewed by itself later
	StandsRetired   Standing = "retired"   // gone from the spec
)

// Standings are all of them, the worst first.
var Standings = []Standing{StandsRevoked, StandsDeleted, StandsPaging, StandsFailing, StandsOverdue, StandsUnmanaged, StandsDue, StandsInOrder, StandsRetired}

// Well tells whether nobody needs to look at it.
func (s Standing) Well() bool { return s == StandsDue || s == StandsInOrder || s == StandsRetired }

// Stands says how the certificate of a record stands.
func (r *Record) Stands(now time.Time) Standing {
	switch {
	case r.State == StateRetired:
		return StandsRetired
	case r.Revoked.Of(r.Live) != nil:
		return StandsRevoked
	case r.GoneText() != "":
		return StandsDeleted
	case r.State == StateFailing && r.Severity == SeverityPage:
		return StandsPaging
	case r.State == StateFailing:
		return StandsFailing
	case r.Paused(now):
		return StandsUnmanaged
	case r.Live != nil && r.Live.ChainKept && r.Live.ChainEndsFirst():
		return StandsOverdue // due by its chain, and no order helps
	case r.RenewAt != nil && now.Before(*r.RenewAt):
		return StandsInOrder
	case now.Before(r.overdueAt()):
		return StandsDue
	default:
		return StandsOverdue
	}
}

// pausedAt tells whether the renewal is off at a moment: a pause ends by its
// date, though the record says so only after the next run.
func (u *Unmanaged) pausedAt(now time.Time) bool {
	return u != nil && (u.Until == nil || now.Before(*u.Until))
}

// overdueAt is when somebody should have tried to renew it: a tenth of the
// time that there is for it, and an hour at least.
func (r *Record) overdueAt() time.Time {
	due := r.RenewAt
	if due == nil {
		due = r.Unmanaged.Until // renewed from then on
	}
	grace := time.Hour
	if r.Live != nil {
		grace = max(grace, r.Live.RenewalEnd().Sub(*due)/10)
	}
	return due.Add(grace)
}

// Paused tells whether nobody renews it by itself at a moment.
func (r *Record) Paused(now time.Time) bool {
	return r.Unmanaged.pausedAt(now) || r.RenewAt == nil && r.Unmanaged == nil
}

// NextBy is what RenewAt comes from: the CA's suggested window, its wish to see
// the certificate replaced, or the threshold; "" where it is not renewed by
// itself.
func (r *Record) NextBy() Reason {
	i := r.RenewalInfo.Of(r.Live)
	switch {
	case r.RenewAt == nil:
		return ""
	case i == nil || !i.RenewAt.Equal(*r.RenewAt):
		return ReasonThreshold
	case i.Urgent():
		return ReasonRevoking
	default:
		return ReasonWindow
	}
}

// EndsUnrenewed tells whether what is live ends soon while a person has turned its
// renewal off: a third of its life is left, or less than a day, and the pause lasts
// too long for a renewal to come in time.
func (r *Record) EndsUnrenewed(now time.Time) bool {
	l := r.Live
	if l == nil || r.Stands(now) != StandsUnmanaged || l.End().Sub(now) > max(l.Lifetime()/3, times.Day) {
		return false
	}
	u := r.Unmanaged
	return u == nil || u.Until == nil || u.Until.After(l.End().Add(-l.Lifetime()/10))
}

// WaitsFor says in a line what keeps the certificate from being renewed: a
// hold with its end, a failure, a person; "" where nothing does.
func (r *Record) WaitsFor() string {
	switch {
	case r.State == StateRetired:
		return ""
	case r.GoneText() != "":
		return strings.TrimSuffix(r.GoneText()+"; "+r.waitsFor(), "; ")
	default:
		return r.waitsFor()
	}
}

func (r *Record) waitsFor() string {
	switch {
	case r.Hold != nil:
		return "until " + r.Hold.Until.UTC().Format(time.RFC3339) + ": " + r.Hold.Reason
	case r.LastFailure != nil:
		return r.LastFailure.Message
	case r.Unmanaged != nil:
		return r.Unmanaged.String()
	default:
		return ""
	}
}

// String says who turned the renewal off, since when and until when.
func (u *Unmanaged) String() string {
	s := "renewal off since " + u.Since.UTC().Format(time.DateOnly)
	if u.By != "" {
		s += " by " + u.By
	}
	if u.Until != nil {
		s += ", " + spec.EndText(*u.Until)
	} else {
		s += ", without an end"
	}
	if u.Overdue {
		s += ", past its time to renew"
	}
	if u.Reason != "" {
		s += ": " + u.Reason
	}
	return s
}

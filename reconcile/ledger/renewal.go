package ledger

import (
	"strings"
	"time"

	"certroll/reconcile/times"
	"certroll/spec"
)

// pausedAt reports whether renewal is off at a time. A pause ends at its date, although the
// record shows that only after the next run.
func (u *Unmanaged) pausedAt(now time.Time) bool {
	return u != nil && (u.Until == nil || now.Before(*u.Until))
}

// overdueAt returns when a renewal without an attempt counts as overdue: after a tenth of
// the time left for it, and at least an hour.
func (r *Record) overdueAt() time.Time {
	due := r.RenewAt
	if due == nil {
		due = r.Unmanaged.Until // certroll renews from then on
	}
	grace := time.Hour
	if r.Live != nil {
		grace = max(grace, r.Live.RenewalEnd().Sub(*due)/10)
	}
	return due.Add(grace)
}

// Paused reports whether certroll does not renew the certificate by itself at a time.
func (r *Record) Paused(now time.Time) bool {
	return r.Unmanaged.pausedAt(now) || r.RenewAt == nil && r.Unmanaged == nil
}

// NextBy returns the origin of RenewAt: the CA's suggested window, an urgent window, or the
// threshold; "" if certroll does not renew the certificate by itself.
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

// EndsUnrenewed reports whether the live certificate ends soon while its renewal is off: a
// third of its life or less than a day is left, and the pause lasts too long for a renewal
// in time.
func (r *Record) EndsUnrenewed(now time.Time) bool {
	l := r.Live
	if l == nil || r.StateAt(now) != StateUnmanaged || l.End().Sub(now) > max(l.Lifetime()/3, times.Day) {
		return false
	}
	u := r.Unmanaged
	return u == nil || u.Until == nil || u.Until.After(l.End().Add(-l.Lifetime()/10))
}

// WaitsFor returns one line with the obstacle to a renewal: a hold with its end, a failure,
// or a person; "" if there is none.
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

// String says since when, until when and by whom renewal is off.
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

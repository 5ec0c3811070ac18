package plan

import (
	"maps"
	"slices"
	"strings"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/times"
	"certroll/spec"
)

// ruleStaleRecord: the secret is up to date, and the record is not. certroll updates the
// record at once if that needs no certificate: once the block is gone, the record is the
// only source of on_remove.
func ruleStaleRecord(s *Situation) (Action, bool) {
	l := s.live()
	if l == nil {
		return Action{}, false
	}
	// The note has its own reason in the audit log, and updates the record as well.
	if a, ok := pauseNote(s, l); ok {
		return a, true
	}
	why := staleRecord(s, l)
	if why == "" {
		return Action{}, false
	}
	return Action{Kind: ledger.KindRepair, Reason: ledger.ReasonBehind, Detail: why + "; its record is brought up to date, nothing is ordered"}, true
}

// pauseNote notes in the ledger that renewal was turned off or on, and once that a renewal
// is due while it is off.
func pauseNote(s *Situation, l *ledger.Live) (Action, bool) {
	if s.record == nil || s.record.Live == nil || s.record.Live.Serial != l.Serial || s.record.State == ledger.StateRetired {
		return Action{}, false
	}
	was, off := s.record.Unmanaged, !s.auto
	note := func(why ledger.Reason, detail string) (Action, bool) {
		return Action{Kind: ledger.KindNote, Reason: why, Detail: detail}, true
	}
	switch {
	case off && (was == nil || was.Reason != s.Spec.Renewal.Reason || !times.SameTime(was.Until, times.Optional(s.Spec.Renewal.Until))):
		return note(ledger.ReasonPauseBegan, "renewal.auto is off"+PauseText(s.Spec)+"; it expires "+l.End().UTC().Format(time.DateOnly))
	case off && !was.Overdue && !s.due().at.After(s.Now):
		return note(ledger.ReasonOverdue, "it would be renewed now, and renewal.auto is off"+PauseText(s.Spec)+"; it expires "+l.End().UTC().Format(time.DateOnly))
	case !off && was != nil && s.Spec.Renewal.Auto:
		return note(ledger.ReasonPauseEnded, "renewal.auto is on again")
	case !off && was != nil:
		return note(ledger.ReasonPauseEnded, "the pause"+PauseText(s.Spec)+" is over: it is renewed again")
	}
	return Action{}, false
}

// staleRecord says how the record differs from the spec or from Vault; "" if it does not.
func staleRecord(s *Situation, l *ledger.Live) string {
	c, r := s.Spec, s.record
	switch {
	case r == nil:
		return "the ledger has no record of it"
	case r.State == ledger.StateRetired:
		return "its block is back"
	case r.State == ledger.StateFailing && !FailsToRevoke(r):
		return "what failed is not asked for any more"
	case r.Live == nil || r.Live.Serial != l.Serial:
		return "its record speaks of another certificate"
	case r.Gone != nil && s.secret.Readable:
		return "what was deleted is there again"
	case s.pending != nil && s.pending.Stray:
		return "a write that reached Vault late left a pending secret, whose key is destroyed"
	case s.leftChanged() != "":
		return s.leftChanged()
	}
	// Fields of the spec that need no certificate take effect in the record at once.
	var changed []string
	note := func(field string, same bool) {
		if !same {
			changed = append(changed, field)
		}
	}
	note("the order of domains", slices.Equal(r.Names, c.Names()))
	note("labels", maps.Equal(r.Labels, c.Labels))
	note("probe", slices.Equal(r.Probe, c.Endpoints()))
	note("on_remove", r.OnRemove == c.OnRemove)
	note("the file it stands in", r.File == c.File)
	note("renewal", times.SameTime(r.RenewAt, recordedDue(c, s.due(), s.Now)))
	if len(changed) == 0 {
		return ""
	}
	return "the spec changed " + strings.Join(changed, ", ")
}

// RecordedRenewal returns the next renewal time for the record; nil if certroll does not
// renew the certificate by itself.
func RecordedRenewal(c *spec.Certificate, l *ledger.Live, said *ledger.RenewalInfo, now time.Time) *time.Time {
	return recordedDue(c, dueOf(c, l, said), now)
}

// recordedDue returns the due time for the record; nil while renewal is off.
func recordedDue(c *spec.Certificate, d due, now time.Time) *time.Time {
	if !RenewsAt(c, now) {
		return nil
	}
	return &d.at
}

// FailsToRevoke reports whether the last failure was revoking an earlier certificate, while
// the live one is in order.
func FailsToRevoke(r *ledger.Record) bool {
	return len(r.Revocations) > 0 && r.LastFailure != nil && r.LastFailure.Operation == ledger.KindRevoke
}

// FailsToOrder reports whether the last failure was an order.
func FailsToOrder(r *ledger.Record) bool {
	return r != nil && r.LastFailure != nil && r.LastFailure.Operation.Orders()
}

package page

import (
	"cmp"
	"slices"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
)

// stateOf combines a certificate's record, its planned action and its open problems. Each of
// them may be missing.
func stateOf(r *ledger.Record, a *plan.Action, open []ledger.Problem, now time.Time) ledger.State {
	s := withPlan(r, a, now)
	if s.Rank() > ledger.StateNotServed.Rank() && slices.ContainsFunc(open, isProbe) {
		return ledger.StateNotServed
	}
	return s
}

func isProbe(p ledger.Problem) bool { return p.Operation == ledger.KindProbe }

// withPlan prefers the record's state, and the plan adds holds and certificates without a
// record. It differs from Record.StateAt, which status, expiring and the metrics show:
//
//   - A certificate without a live pair is held or missing. The plan knows that it is wanted;
//     status lists such names apart, as its records do not have them.
//   - Expired and expiring are states of their own, because one list has all certificates,
//     the worst first. expiring is ordered by date, and the metrics have the dates.
//   - A certificate that left the spec is neither revoked nor deleted, because certroll does
//     not replace it. Only a plan shows that it left: without one the record decides.
func withPlan(r *ledger.Record, a *plan.Action, now time.Time) ledger.State {
	held := a != nil && a.Kind == ledger.KindHold
	wanted := a != nil && a.Spec != nil
	if r == nil && a != nil && a.Kind == ledger.KindRetire || r != nil && r.State == ledger.StateRetired && !wanted {
		return ledger.StateRetired // without a record, leftovers remain to be removed
	}
	if r != nil && r.State != ledger.StateRetired {
		switch s := r.StateAt(now); {
		case (a == nil || wanted) && (s == ledger.StateRevoked || s == ledger.StateDeleted):
			return s
		case r.State == ledger.StateFailing && r.Severity == ledger.SeverityPage:
			return ledger.StatePaging
		case r.State == ledger.StateFailing:
			return ledger.StateFailing
		case r.Live != nil:
			return withDates(r, s, held, now)
		}
	}
	if held {
		return ledger.StateHeld
	}
	return ledger.StateMissing
}

// withDates returns the state of a certificate that is live and does not fail. s is its
// record's state.
func withDates(r *ledger.Record, s ledger.State, held bool, now time.Time) ledger.State {
	left := r.Live.End().Sub(now)
	switch {
	case left <= 0:
		return ledger.StateExpired
	case r.EndsUnrenewed(now):
		return ledger.StateExpiring
	case s == ledger.StateOverdue:
		return s
	case left < r.Live.Lifetime()/5 && s != ledger.StateInOrder:
		return ledger.StateExpiring
	case held:
		return ledger.StateHeld
	case s == ledger.StateUnmanaged, s == ledger.StateDue:
		return s
	default:
		return ledger.StateInOrder
	}
}

// worstFirst orders by state, then by expiry; never issued certificates come first.
func worstFirst(a, b *Certificate) int {
	return cmp.Or(cmp.Compare(a.State.Rank(), b.State.Rank()), byTime(a.NotAfter, b.NotAfter, -1), cmp.Compare(a.Name, b.Name))
}

// byTime compares times; nil sorts first if none is -1, last if it is 1.
func byTime(a, b *time.Time, none int) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return none
	case b == nil:
		return -none
	default:
		return a.Compare(*b)
	}
}

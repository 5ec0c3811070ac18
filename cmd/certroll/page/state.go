package page

import (
	"cmp"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
)

// State is the state of a certificate in one word, by record and plan.
type State string

// The states. If several apply, the first counts.
const (
	Revoked   State = "revoked"    // the CA revoked the live certificate
	Deleted   State = "deleted"    // another program deleted the live certificate in Vault
	Paging    State = "paging"     // failing, three times in a row or more
	Failing   State = "failing"    // the last attempt failed
	Expired   State = "expired"    // the live certificate has expired
	Expiring  State = "expiring"   // expires soon, and has a problem or its renewal is off
	Overdue   State = "overdue"    // due for long, without an attempt
	Unserved  State = "not_served" // an endpoint serves another certificate, or does not answer
	Held      State = "held"       // due, with a stated reason to wait
	Missing   State = "missing"    // not issued yet
	Unmanaged State = "unmanaged"  // a person turned renewal off
	Due       State = "due"        // the next run renews it
	InOrder   State = "in_order"   // will be renewed later
	Retired   State = "retired"    // no longer in the spec
)

// States lists all states, worst first.
var States = []State{Revoked, Deleted, Paging, Failing, Expired, Expiring, Overdue, Unserved, Held, Missing, Unmanaged, Due, InOrder, Retired}

var ranks = func() map[State]int {
	m := make(map[State]int, len(States))
	for i, s := range States {
		m[s] = i
	}
	return m
}()

// Word returns the state for people.
func (s State) Word() string {
	switch s {
	case InOrder:
		return "in order"
	case Missing:
		return "not issued"
	case Unserved:
		return "not served"
	default:
		return string(s)
	}
}

// stateOf prefers the record; the plan adds holds.
func stateOf(r *ledger.Record, a *plan.Action, now time.Time) State {
	held := a != nil && a.Kind == ledger.KindHold
	wanted := a != nil && a.Spec != nil
	switch {
	case r != nil && wanted && r.Stands(now) == ledger.StandsRevoked:
		return Revoked
	case r != nil && wanted && r.Stands(now) == ledger.StandsDeleted:
		return Deleted
	case r != nil && r.State == ledger.StateFailing && r.Severity == ledger.SeverityPage:
		return Paging
	case r != nil && r.State == ledger.StateFailing:
		return Failing
	case r != nil && r.State == ledger.StateRetired && !wanted, r == nil && a != nil && a.Kind == ledger.KindRetire:
		return Retired // without a record, leftovers remain to be removed
	case r == nil || r.Live == nil || r.State == ledger.StateRetired:
		if held {
			return Held
		}
		return Missing
	case !now.Before(r.Live.End()):
		return Expired
	}
	stands := r.Stands(now)
	late := r.Live.End().Sub(now) < r.Live.Lifetime()/5
	switch {
	case r.EndsUnrenewed(now):
		return Expiring
	case stands == ledger.StandsOverdue:
		return Overdue
	case late && stands != ledger.StandsInOrder:
		return Expiring
	case held:
		return Held
	case stands == ledger.StandsUnmanaged:
		return Unmanaged
	case stands == ledger.StandsDue:
		return Due
	default:
		return InOrder
	}
}

// worstFirst orders by state, then by expiry; never issued certificates come first.
func worstFirst(a, b *Certificate) int {
	return cmp.Or(cmp.Compare(ranks[a.State], ranks[b.State]), byTime(a.NotAfter, b.NotAfter, -1), cmp.Compare(a.Name, b.Name))
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

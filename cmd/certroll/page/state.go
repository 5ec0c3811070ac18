package page

import (
	"cmp"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
)

// State says in one word how a certificate stands, as far as record and plan
// tell.
type State string

// The states. Where a certificate is in several of them, the first counts.
const (
	Revoked   State = "revoked"    // the CA revoked what is live
	Deleted   State = "deleted"    // somebody else deleted what is live in Vault
	Paging    State = "paging"     // failing, three times in a row or more
	Failing   State = "failing"    // the last attempt failed
	Expired   State = "expired"    // what is live is over
	Expiring  State = "expiring"   // it ends soon, and is not in order or nobody renews it
	Overdue   State = "overdue"    // due for long, and nobody has tried
	Unserved  State = "not_served" // an endpoint shows another one, or does not answer
	Held      State = "held"       // due, and it waits for a stated reason
	Missing   State = "missing"    // nothing was issued yet
	Unmanaged State = "unmanaged"  // a person turned the renewal off
	Due       State = "due"        // the next run renews it
	InOrder   State = "in_order"   // it is renewed by itself, later
	Retired   State = "retired"    // gone from the spec
)

// States are all of them, the worst first.
var States = []State{Revoked, Deleted, Paging, Failing, Expired, Expiring, Overdue, Unserved, Held, Missing, Unmanaged, Due, InOrder, Retired}

var ranks = func() map[State]int {
	m := make(map[State]int, len(States))
	for i, s := range States {
		m[s] = i
	}
	return m
}()

// Word is the state as a person reads it.
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

// stateOf looks at the record first: what the ledger says stands, and the plan
// adds what waits.
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
		return Retired // of one without a record there is a rest to clear away
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

// worstFirst orders by state, then by expiry, what never was issued first.
func worstFirst(a, b *Certificate) int {
	return cmp.Or(cmp.Compare(ranks[a.State], ranks[b.State]), byTime(a.NotAfter, b.NotAfter, -1), cmp.Compare(a.Name, b.Name))
}

// byTime orders moments; none is before all others by -1, after them by 1.
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

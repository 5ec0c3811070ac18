package ledger

import (
	"slices"
	"time"
)

// State is the state of a certificate in one word. There is one ladder of states, from these
// sources:
//
//   - A record alone gives RecordStates, by Record.StateAt. status, expiring and the metrics
//     show them, under the name standing in their JSON and labels.
//   - The status page adds held and missing from the plan, expired and expiring from the dates
//     of the live certificate, and not_served from a probe's open problem.
//
// A record stores only the words of StoredStates.
type State string

// The states, the worst first. If several apply, the first counts.
const (
	StateRevoked   State = "revoked"    // the CA revoked the live certificate
	StateDeleted   State = "deleted"    // another program deleted the live secret
	StatePaging    State = "paging"     // failing, three times in a row or more
	StateFailing   State = "failing"    // the last attempt failed; the live pair, if any, is unchanged
	StateExpired   State = "expired"    // the live certificate has expired
	StateExpiring  State = "expiring"   // expires soon, and has a problem or its renewal is off
	StateOverdue   State = "overdue"    // due for long, without an attempt
	StateNotServed State = "not_served" // an endpoint serves another certificate, or does not answer
	StateHeld      State = "held"       // due, with a stated reason to wait
	StateMissing   State = "missing"    // not issued yet
	StateUnmanaged State = "unmanaged"  // a person turned the renewal off
	StateDue       State = "due"        // the next run renews it
	StateInOrder   State = "in_order"   // certroll renews it later
	StateRetired   State = "retired"    // left the spec
)

// StateLive is the word of a record whose last attempt succeeded: a valid pair is in Vault. It
// is no step of the ladder, because only the time says whether the certificate is in order.
const StateLive State = "live"

// States lists all states that a certificate may have at a time, the worst first.
var States = []State{
	StateRevoked, StateDeleted, StatePaging, StateFailing, StateExpired, StateExpiring, StateOverdue, StateNotServed,
	StateHeld, StateMissing, StateUnmanaged, StateDue, StateInOrder, StateRetired,
}

// RecordStates lists the states that a record alone can give at a time, the worst first.
var RecordStates = []State{StateRevoked, StateDeleted, StatePaging, StateFailing, StateOverdue, StateUnmanaged, StateDue, StateInOrder, StateRetired}

// StoredStates lists the words of the field state of a record.
var StoredStates = []State{StateLive, StateFailing, StateRetired}

// Rank returns the position in States; 0 is the worst. Other words come last.
func (s State) Rank() int {
	if i := slices.Index(States, s); i >= 0 {
		return i
	}
	return len(States)
}

// Word returns the state for people.
func (s State) Word() string {
	switch s {
	case StateInOrder:
		return "in order"
	case StateMissing:
		return "not issued"
	case StateNotServed:
		return "not served"
	default:
		return string(s)
	}
}

// Well reports whether a certificate in this state needs no attention.
func (s State) Well() bool { return s == StateDue || s == StateInOrder || s == StateRetired }

// WithoutClock returns the state as far as the time does not matter: revoked, deleted, paging,
// failing, unmanaged, retired or live. STATUS.md shows it, because a file does not change as
// time passes.
func (r *Record) WithoutClock() State {
	switch {
	case r.State == StateRetired:
		return StateRetired
	case r.Revoked.Of(r.Live) != nil:
		return StateRevoked
	case r.GoneText() != "":
		return StateDeleted
	case r.State == StateFailing && r.Severity == SeverityPage:
		return StatePaging
	case r.State == StateFailing:
		return StateFailing
	case r.Unmanaged != nil:
		return StateUnmanaged
	default:
		return StateLive
	}
}

// StateAt returns the state of the record's certificate at a time, one of RecordStates.
func (r *Record) StateAt(now time.Time) State {
	s := r.WithoutClock()
	switch {
	case s != StateUnmanaged && s != StateLive:
		return s
	case r.Paused(now):
		return StateUnmanaged
	case r.Live != nil && r.Live.ChainKept && r.Live.ChainEndsFirst():
		return StateOverdue // due by its chain, and no order brings a longer one
	case r.RenewAt != nil && now.Before(*r.RenewAt):
		return StateInOrder
	case now.Before(r.overdueAt()):
		return StateDue
	default:
		return StateOverdue
	}
}

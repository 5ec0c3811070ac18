package plan

import (
	"slices"
	"time"

	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/spec"
	"certroll/spec/text"
)

// A run that died on a first issue before it told the ledger leaves a pending
// secret, and maybe a staged key, that no record speaks of. Where its block is
// gone by the next run, nothing but a look at them tells that they are there:
//
//	block ── pending secret ── killed ── block removed ── leftover
//
// They are destroyed only where the look was whole, and only what carries the
// mark of this ledger: certrolls of other ledgers may keep theirs below the
// same prefix. Another replica may have died on a revision that this one has
// not pulled yet, and what it ordered be wanted still.

// LeftoverAfter is for how long what a run has begun is nobody's at least.
const LeftoverAfter = time.Hour

// isYoung tells whether what was begun then may be of a revision that is not known
// here yet. What is from the future was begun by a clock that ran ahead.
func isYoung(since, now time.Time) bool {
	return since.After(now.Add(-LeftoverAfter)) && !since.After(now.Add(keypair.MaxSkew))
}

// leftovers are the actions that destroy what is pending or staged of names
// that the spec does not have and the ledger does not, or only as retired.
func leftovers(wanted map[string]bool, obs *Observed, now time.Time) []Action {
	if !obs.Whole {
		return nil
	}
	var names []string
	for name, p := range obs.Pending {
		if p.Ours {
			names = append(names, name)
		}
	}
	for name, n := range obs.Staged {
		if n.Ours {
			names = append(names, name)
		}
	}
	names = slices.DeleteFunc(names, func(name string) bool {
		// Either shows that a run was there: an attempt may take hours.
		return isYoung(obs.Pending[name].Since, now) || isYoung(obs.Staged[name].Since, now)
	})
	var actions []Action
	for _, name := range text.SortedSet(names) {
		if r := obs.Records[name]; spec.IsCertificateName(name) && !wanted[name] && (r == nil || r.State == ledger.StateRetired) {
			actions = append(actions, leftover(name, r, obs))
		}
	}
	return actions
}

func leftover(name string, r *ledger.Record, obs *Observed) Action {
	record := ledger.Record{Schema: ledger.RecordSchema, Certificate: name, State: ledger.StateRetired}
	if r != nil {
		record = *r
	}
	record.OnRemove = spec.Keep // what it said was done when it was retired, and is not done again
	a := Action{Kind: ledger.KindRetire, Certificate: name, Reason: ledger.ReasonRemoved, Record: &record,
		Detail: "its block is gone; an interrupted run left a key that the ledger does not record, and certroll destroys it"}
	if p, ok := obs.Pending[name]; ok {
		a.Detail += ": of a pending secret, SPKI SHA-256 " + p.KeyDigest
	}
	if n, ok := obs.Staged[name]; ok {
		a.Next = &n
		a.Detail += "; staged, TLSA records and pins of " + n.KeyDigest + " can go"
	}
	return a
}

package plan

import (
	"slices"
	"time"

	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/spec"
	"certroll/spec/text"
)

// A run that was killed during a first issue, before it recorded anything in the ledger,
// leaves a pending secret and maybe a staged key without a record. If the block is gone by
// the next run, only a list of the secrets shows that they exist:
//
//	block ── pending secret ── killed ── block removed ── leftover
//
// certroll destroys them only if the observed state is complete, and only secrets with the
// mark of this ledger: certrolls with other ledgers may share the prefix. It also waits for
// LeftoverAfter. Another replica may have been killed on a revision that this one has not
// pulled yet, and its order may still be wanted.

// LeftoverAfter is the age from which an unfinished attempt that nothing refers to counts
// as a leftover.
const LeftoverAfter = time.Hour

// isYoung reports whether the attempt may belong to a revision that this replica has not
// pulled yet. A time in the future comes from a clock that ran ahead, and does not count.
func isYoung(since, now time.Time) bool {
	return since.After(now.Add(-LeftoverAfter)) && !since.After(now.Add(keypair.MaxSkew))
}

// leftovers returns the actions that destroy pending secrets and staged keys of names that
// the spec does not have, and the ledger has at most as retired. What a move still has to
// carry to the new name, formers, is no leftover.
func leftovers(wanted, formers map[string]bool, obs *Observed, now time.Time) []Action {
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
		// Either secret proves that a run exists: an attempt may take hours.
		return isYoung(obs.Pending[name].Since, now) || isYoung(obs.Staged[name].Since, now)
	})
	var actions []Action
	for _, name := range text.SortedSet(names) {
		if r := obs.Records[name]; spec.IsCertificateName(name) && !wanted[name] && !formers[name] && (r == nil || r.State == ledger.StateRetired) {
			actions = append(actions, leftover(name, r, obs))
		}
	}
	return actions
}

// formersOf returns the former names of certificates whose move is not done.
func formersOf(actions []Action) map[string]bool {
	formers := map[string]bool{}
	for i := range actions {
		if former := actions[i].Former; former != "" {
			formers[former] = true
		}
	}
	return formers
}

func leftover(name string, r *ledger.Record, obs *Observed) Action {
	record := ledger.Record{Schema: ledger.RecordSchema, Certificate: name, State: ledger.StateRetired}
	if r != nil {
		record = *r
	}
	record.OnRemove = spec.Keep // on_remove ran when the certificate was retired, and must not run again
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

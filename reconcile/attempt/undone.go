package attempt

import (
	"slices"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
)

// noteUndone adds to the record the change by another program that the attempt undid.
func (a *Attempt) noteUndone(r *ledger.Record, now time.Time) {
	if !a.Action.Undoes() {
		return
	}
	u := ledger.Undone{At: now.UTC().Truncate(time.Second), Reason: a.Action.Reason}
	if was := a.Action.Record; was != nil && was.Live != nil {
		u.Version, u.WrittenAt = was.Live.Version, was.Live.IssuedAt
	}
	r.Undone = append(slices.Clone(r.Undone), u)
	r.Undone = r.Undone[max(0, len(r.Undone)-plan.MostUndone):]
}

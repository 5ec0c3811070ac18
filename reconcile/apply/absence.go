package apply

import (
	"maps"
	"slices"
	"time"

	"certroll/reconcile/attempt"
	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/reconcile/recorder"
	"certroll/spec/text"
)

// Unfinished returns the certificates that are running or ready, sorted.
func (c *Crew) Unfinished() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	names := slices.Collect(maps.Keys(c.atWork))
	for name := range c.queued {
		names = append(names, name)
	}
	return text.SortedSet(names)
}

// isBack records that Vault answered under the lease. If the history has an open outage
// of Vault, it writes the event that ends the outage.
func (r *Reconciler) isBack(known *attempt.AwayError, obs *plan.Observed, rev ledger.Revision) error {
	r.Absence.End(known)
	last := recorder.LastOutage(obs.History, recorder.SideLooked)
	if last.Status != ledger.Failed {
		return nil
	}
	o := &recorder.Outage{Since: last.Time, Class: last.Class, Message: last.Message}
	_, over := recorder.SideLooked.Words()
	return r.TellOutage(recorder.OutageEvent(recorder.SideLooked, o, ledger.Success, over+" since "+o.Since.UTC().Format(time.RFC3339), rev.Commit, r.Opts.Now()))
}

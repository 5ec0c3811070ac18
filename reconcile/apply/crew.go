package apply

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"certroll/reconcile/attempt"
	"certroll/reconcile/limiter"
	"certroll/reconcile/plan"
)

// newCrew returns a crew with a number of places. do runs one attempt.
func newCrew(places int, now func() time.Time, do func(*Job) (attempt.Result, limiter.End)) *Crew {
	return &Crew{
		places: places, now: now, Do: do, Settled: make(chan struct{}, 1),
		queued: map[string]*Job{}, atWork: map[string]*Job{}, shares: map[string]int{}, asked: map[string]bool{},
		began: map[string]turn{}, noted: map[string]int{}, Ended: map[string]bool{},
	}
}

// Look returns the running attempts by certificate, and the current turn. Call it before
// reading Vault and the ledger: the reads then include every attempt that ended
// meanwhile, and the turn identifies every attempt that began meanwhile.
func (c *Crew) Look() (at map[string]plan.Work, turn int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at = make(map[string]plan.Work, len(c.atWork))
	for name, j := range c.atWork {
		at[name] = plan.Work{Certificate: name, Operation: j.Action.Kind, Since: j.since, Step: j.step, Detail: j.detail, Action: j.Action}
	}
	return at, c.turn
}

// AtWork returns the running attempts, the longest first.
func (r *Reconciler) AtWork() []plan.Work {
	at, _ := r.Crew.Look()
	return slices.SortedFunc(maps.Values(at), func(a, b plan.Work) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Certificate, b.Certificate))
	})
}

// isBusy reports whether an attempt is running.
func (c *Crew) isBusy() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.atWork) > 0
}

// Stepped records the current step of a running attempt.
func (c *Crew) Stepped(certificate, step, detail string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if j := c.atWork[certificate]; j != nil {
		j.step, j.detail = step, detail
	}
}

// TakeEnded returns and resets the certificates whose attempts ended since its last call.
// The observations of these certificates are outdated.
func (c *Crew) TakeEnded() map[string]bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	ended := c.Ended
	c.Ended = map[string]bool{}
	return ended
}

// WithoutEnded returns the actions without the certificates whose attempts ended since
// the last TakeEnded. Their actions come from outdated observations and must not start.
func (c *Crew) WithoutEnded(actions []plan.Action) []plan.Action {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.Ended) == 0 {
		return actions
	}
	return slices.DeleteFunc(slices.Clone(actions), func(a plan.Action) bool { return a.AtWork == nil && c.Ended[a.Certificate] })
}

// IsReady reports whether a certificate is queued.
func (c *Crew) IsReady(certificate string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.queued[certificate] != nil
}

// ask reserves a certificate for a query (renewal information, CRL, backfill). It returns
// false if the certificate is running, reserved, or began after the given turn. An
// attempt and a query would otherwise overwrite each other's record.
func (c *Crew) ask(certificate string, turn int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.atWork[certificate] != nil || c.asked[certificate] || c.began[certificate].n > turn {
		return false
	}
	c.asked[certificate] = true
	return true
}

// nudge signals that a new plan may be due.
func (c *Crew) nudge() {
	select {
	case c.Settled <- struct{}{}:
	default: // already signalled
	}
}

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

func newCrew(places int, now func() time.Time, do func(*Job) (attempt.Result, limiter.End)) *Crew {
	return &Crew{
		places: places, now: now, Do: do, Settled: make(chan struct{}, 1),
		queued: map[string]*Job{}, atWork: map[string]*Job{}, shares: map[string]int{}, asked: map[string]bool{},
		began: map[string]turn{}, noted: map[string]int{}, Ended: map[string]bool{},
	}
}

// Look is who is at work, by certificate, and the turn it was looked in. It has to
// be called before what is observed is read: who ends in between is then in what
// is read, and who begins is known by the turn.
func (c *Crew) Look() (at map[string]plan.Work, turn int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at = make(map[string]plan.Work, len(c.atWork))
	for name, j := range c.atWork {
		at[name] = plan.Work{Certificate: name, Operation: j.Action.Kind, Since: j.since, Step: j.step, Detail: j.detail, Action: j.Action}
	}
	return at, c.turn
}

// AtWork are the attempts under way, those first that have been for longest.
func (r *Reconciler) AtWork() []plan.Work {
	at, _ := r.Crew.Look()
	return slices.SortedFunc(maps.Values(at), func(a, b plan.Work) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Certificate, b.Certificate))
	})
}

// isBusy tells whether anybody is at work.
func (c *Crew) isBusy() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.atWork) > 0
}

// Stepped notes what an attempt is at.
func (c *Crew) Stepped(certificate, step, detail string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if j := c.atWork[certificate]; j != nil {
		j.step, j.detail = step, detail
	}
}

// TakeEnded are the certificates that ended since it was called last: what is
// known of them is old.
func (c *Crew) TakeEnded() map[string]bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	ended := c.Ended
	c.Ended = map[string]bool{}
	return ended
}

// WithoutEnded is a plan without the certificates whose attempts ended since
// takeEnded was called last. Their actions were planned by what is known of them from
// before, and do not begin.
func (c *Crew) WithoutEnded(actions []plan.Action) []plan.Action {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.Ended) == 0 {
		return actions
	}
	return slices.DeleteFunc(slices.Clone(actions), func(a plan.Action) bool { return a.AtWork == nil && c.Ended[a.Certificate] })
}

// IsReady tells whether a certificate waits for its place.
func (c *Crew) IsReady(certificate string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.queued[certificate] != nil
}

// ask reserves a certificate for a question to its CA, or about it, unless it is at
// work or was since the turn that is given: both would note a record. One asks at a
// time, so that what a question notes is not old to the next one.
func (c *Crew) ask(certificate string, turn int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.atWork[certificate] != nil || c.asked[certificate] || c.began[certificate].n > turn {
		return false
	}
	c.asked[certificate] = true
	return true
}

// nudge says that there may be something to plan.
func (c *Crew) nudge() {
	select {
	case c.Settled <- struct{}{}:
	default: // it is said already
	}
}

package reconcile

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"
)

// Work is one attempt that is under way.
type Work struct {
	Certificate string
	Operation   Kind
	Since       time.Time
	Step        string // of the attempt, or what it waits for: "order", "dns", "ca"
	Detail      string // one line for a person, or ""; no secret is in it

	action Action
}

// crew is who is at work, over passes, and what is ready to begin. A certificate
// has one attempt at a time, whichever pass began it.
//
//	pass 1   ├ plan ─ begin a b c ┤
//	a                             ├── slow CA ─────────────────────▶
//	b, c                          ├─ done: noted, logged, told
//	pass 2             falls due: d ├ plan without a ─ begin d ┤
//
// hands.go has how what is ready comes by a place.
type crew struct {
	places int // certificates at once
	now    func() time.Time
	do     func(*job) (Result, end) // one attempt
	// settled has an element when there may be something to plan: a certificate
	// has ended, or the CA suggests something else for it.
	settled chan struct{}
	batches sync.WaitGroup // that have not ended

	mu     sync.Mutex
	ready  []*job          // the most urgent first
	queued map[string]*job // those, by certificate
	atWork map[string]*job // by certificate
	shares map[string]int  // at work, by what they share; see share
	asked  map[string]bool // certificates that a CA is being asked about
	turn   int             // counts beginnings
	began  map[string]turn // of each certificate, the last one
	noted  map[string]int  // the turn after which a question changed a record
	ended  map[string]bool // certificates that nobody has looked at since
}

// turn is when a certificate began last.
type turn struct {
	n  int
	at time.Time
}

// job is one action that is to be done.
type job struct {
	*batch
	action Action
	turn   int       // in which it was looked at
	looked time.Time // when that was

	leave        func(Event) // the gate; nil where it did not enter by it
	shares       []string
	since        time.Time // when it began
	step, detail string
}

func newCrew(places int, now func() time.Time, do func(*job) (Result, end)) *crew {
	return &crew{
		places: places, now: now, do: do, settled: make(chan struct{}, 1),
		queued: map[string]*job{}, atWork: map[string]*job{}, shares: map[string]int{}, asked: map[string]bool{},
		began: map[string]turn{}, noted: map[string]int{}, ended: map[string]bool{},
	}
}

// look is who is at work, by certificate, and the turn it was looked in. It has to
// be called before what is observed is read: who ends in between is then in what
// is read, and who begins is known by the turn.
func (c *crew) look() (at map[string]Work, turn int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at = make(map[string]Work, len(c.atWork))
	for name, j := range c.atWork {
		at[name] = Work{Certificate: name, Operation: j.action.Kind, Since: j.since, Step: j.step, Detail: j.detail, action: j.action}
	}
	return at, c.turn
}

// AtWork are the attempts under way, those first that have been for longest.
func (r *Reconciler) AtWork() []Work {
	at, _ := r.crew.look()
	return slices.SortedFunc(maps.Values(at), func(a, b Work) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Certificate, b.Certificate))
	})
}

// isBusy tells whether anybody is at work.
func (c *crew) isBusy() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.atWork) > 0
}

// stepped notes what an attempt is at.
func (c *crew) stepped(certificate, step, detail string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if j := c.atWork[certificate]; j != nil {
		j.step, j.detail = step, detail
	}
}

// takeEnded are the certificates that ended since it was called last: what is
// known of them is old.
func (c *crew) takeEnded() map[string]bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	ended := c.ended
	c.ended = map[string]bool{}
	return ended
}

// withoutEnded is a plan without the certificates whose attempts ended since
// takeEnded was called last. Their actions were planned by what is known of them from
// before, and do not begin.
func (c *crew) withoutEnded(actions []Action) []Action {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.ended) == 0 {
		return actions
	}
	return slices.DeleteFunc(slices.Clone(actions), func(a Action) bool { return a.AtWork == nil && c.ended[a.Certificate] })
}

// isReady tells whether a certificate waits for its place.
func (c *crew) isReady(certificate string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.queued[certificate] != nil
}

// same tells whether a plan wants of a certificate what an earlier one did, going
// by the same that was seen.
func (a *Action) same(b *Action) bool {
	return a.Kind == b.Kind && a.Reason == b.Reason && a.Spec == b.Spec && a.Issuer == b.Issuer && a.Record == b.Record && a.At == b.At &&
		a.Secret.Version == b.Secret.Version && a.Replaces == b.Replaces && slices.Equal(a.Probes, b.Probes) && slices.Equal(a.Avoid, b.Avoid)
}

// ask reserves a certificate for a question to its CA, or about it, unless it is at
// work or was since the turn that is given: both would note a record. One asks at a
// time, so that what a question notes is not old to the next one.
func (c *crew) ask(certificate string, turn int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.atWork[certificate] != nil || c.asked[certificate] || c.began[certificate].n > turn {
		return false
	}
	c.asked[certificate] = true
	return true
}

// answered ends that. Where its record is another now, what was planned of it
// before is void.
func (c *crew) answered(certificate string, changed bool) {
	c.mu.Lock()
	delete(c.asked, certificate)
	if changed {
		c.turn++
		c.noted[certificate], c.ended[certificate] = c.turn, true
	}
	c.mu.Unlock()
	c.handOver()
	if changed {
		c.nudge()
	}
}

// nudge says that there may be something to plan.
func (c *crew) nudge() {
	select {
	case c.settled <- struct{}{}:
	default: // it is said already
	}
}

package apply

import (
	"slices"
	"time"

	"certroll/reconcile/attempt"
	"certroll/reconcile/limiter"
	"certroll/reconcile/plan"
)

// answered ends the reservation that ask made. changed reports that the query wrote a
// record, which makes earlier plans for the certificate void.
func (c *Crew) answered(certificate string, changed bool) {
	c.mu.Lock()
	delete(c.asked, certificate)
	if changed {
		c.turn++
		c.noted[certificate], c.Ended[certificate] = c.turn, true
	}
	c.mu.Unlock()
	c.HandOver()
	if changed {
		c.nudge()
	}
}

// A ready action starts when a place under Parallel is free, no query has reserved its
// certificate, and the limiter admits it. It waits in the queue, not in a goroutine: an
// action that waits for a slow CA takes no place from another certificate.

// sort splits the actions of a plan. todo has to be observed again and started; ready is
// queued already, unchanged. An action that began after the last full observation is
// neither, for WaveEvery: if another program undoes certroll's change at once, such as by
// overwriting the secret, certroll sets the pace.
func (c *Crew) sort(wanted []plan.Action, pulled time.Time) (todo []plan.Action, ready map[string]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ready = map[string]bool{}
	now := c.now()
	for _, a := range wanted {
		began, did := c.began[a.Certificate]
		switch j := c.queued[a.Certificate]; {
		case j != nil && j.Action.Same(&a) && now.Sub(j.looked).Abs() < plan.WaveEvery:
			ready[a.Certificate] = true
		case !did || began.at.Before(pulled) || now.Sub(began.at).Abs() >= plan.WaveEvery:
			todo = append(todo, a)
		}
	}
	return todo, ready
}

// Drop removes all certificates from the queue except those in but: a newer plan wants
// something else for them, or nothing.
func (c *Crew) Drop(but map[string]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.setReady(slices.DeleteFunc(c.ready, func(j *Job) bool {
		drops := !but[j.Action.Certificate]
		if drops {
			j.over(attempt.Result{}, limiter.EndReplaced)
		}
		return drops
	}))
}

// Put adds jobs to the queue, the most urgent deadline first.
func (c *Crew) Put(jobs []*Job) {
	c.mu.Lock()
	queue := slices.Concat(c.ready, jobs)
	urgent := plan.ByDeadline(c.now())
	slices.SortStableFunc(queue, func(a, b *Job) int { return urgent(&a.Action, &b.Action) })
	c.setReady(queue)
	c.mu.Unlock()
	c.HandOver()
}

// setReady replaces the queue and its index. The caller holds c.mu.
func (c *Crew) setReady(queue []*Job) {
	c.ready = queue
	clear(c.queued)
	for _, j := range queue {
		c.queued[j.Action.Certificate] = j
	}
}

// HandOver starts the queued jobs that can start. Every event that may free one calls it:
// an attempt ended, an account proved usable, a batch arrived.
func (c *Crew) HandOver() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.ready) == 0 || c.free() == 0 {
		return
	}
	var left []*Job
	for i, j := range c.ready {
		if c.free() == 0 {
			left = append(left, c.ready[i:]...)
			break
		}
		switch in := c.begin(j); in {
		case limiter.EndDone:
			go c.work(j)
		case limiter.EndWaits:
			left = append(left, j)
		default:
			j.over(attempt.Result{}, in)
		}
	}
	c.setReady(left)
}

// free returns the number of free places. The caller holds c.mu.
func (c *Crew) free() int { return c.places - len(c.atWork) }

// begin takes all places that a job needs, or none.
func (c *Crew) begin(j *Job) limiter.End {
	name := j.Action.Certificate
	switch {
	case j.Run.Err() != nil:
		return limiter.EndStopped
	case j.Absence.Current() != nil:
		return limiter.EndLeft
	case c.atWork[name] != nil || max(c.began[name].n, c.noted[name]) > j.Turn:
		return limiter.EndReplaced // its record changed after the observation
	case c.asked[name]:
		return limiter.EndWaits
	}
	room := func() bool {
		j.shares = j.sharesOf(&j.Action)
		return !slices.ContainsFunc(j.shares, c.crowded)
	}
	switch {
	case j.Action.Kind.Orders():
		leave, in := j.Pass.Try(&j.Action, room)
		if in != limiter.EndDone {
			return in
		}
		j.leave = leave
	case !room():
		return limiter.EndWaits
	}
	for _, s := range j.shares {
		c.shares[s]++
	}
	c.turn++
	// The new turn tells older observations from those that know of this attempt.
	j.since, j.step = c.now(), "begin"
	c.atWork[name], c.began[name] = j, turn{c.turn, j.since}
	return limiter.EndDone
}

// crowded reports whether a shared resource has as many places as it may. A slow or
// malicious CA or DNS account leaves at least a quarter of the places to the others, and
// the next one leaves a quarter of those.
func (c *Crew) crowded(share string) bool {
	n := c.shares[share]
	return n > 0 && 3*(c.free()-1) < n
}

// work runs one job and gives its places back, whatever the outcome.
func (c *Crew) work(j *Job) {
	res, in := attempt.Result{}, limiter.EndStopped
	defer func() {
		// The limiter learns the outcome before HandOver admits the next job.
		if j.leave != nil {
			j.leave(res.Event)
		}
		c.mu.Lock()
		delete(c.atWork, j.Action.Certificate)
		for _, s := range j.shares {
			if c.shares[s]--; c.shares[s] == 0 {
				delete(c.shares, s)
			}
		}
		c.Ended[j.Action.Certificate] = true
		c.mu.Unlock()
		j.over(res, in)
		c.HandOver()
		c.nudge()
	}()
	res, in = c.Do(j)
}

// Sweep drops the queued jobs of batches whose context has ended.
func (c *Crew) Sweep() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.setReady(slices.DeleteFunc(c.ready, func(j *Job) bool {
		stopped := j.Run.Err() != nil
		if stopped {
			j.over(attempt.Result{}, limiter.EndStopped)
		}
		return stopped
	}))
}

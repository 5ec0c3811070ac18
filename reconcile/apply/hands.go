package apply

import (
	"slices"
	"time"

	"certroll/reconcile/attempt"
	"certroll/reconcile/limiter"
	"certroll/reconcile/plan"
)

// answered ends that. Where its record is another now, what was planned of it
// before is void.
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

// What is ready begins when it has a place under Parallel, nobody asks its CA
// about it just now, and the gate lets it in. It waits in a queue and in no
// goroutine: who waits for a slow CA takes no place from another's certificate.

// sort parts what a plan wants: what is to be looked at and begun, and what waits
// for its place already, as it is. What began since the last pull is neither for a
// minute: who undoes at once what was done, as by overwriting a secret, is met at
// our pace and not at theirs.
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

// Drop takes all but some certificates out of the queue: a newer plan wants
// something else of them, or nothing.
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

// Put adds to what is ready.
func (c *Crew) Put(jobs []*Job) {
	c.mu.Lock()
	queue := slices.Concat(c.ready, jobs)
	urgent := plan.ByDeadline(c.now())
	slices.SortStableFunc(queue, func(a, b *Job) int { return urgent(&a.Action, &b.Action) })
	c.setReady(queue)
	c.mu.Unlock()
	c.HandOver()
}

func (c *Crew) setReady(queue []*Job) {
	c.ready = queue
	clear(c.queued)
	for _, j := range queue {
		c.queued[j.Action.Certificate] = j
	}
}

// HandOver begins what is ready and can begin. It is called whenever that may be
// otherwise: something ended, an account was found in order, a batch came.
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

func (c *Crew) free() int { return c.places - len(c.atWork) }

// begin takes the places that a job needs, all of them or none.
func (c *Crew) begin(j *Job) limiter.End {
	name := j.Action.Certificate
	switch {
	case j.Run.Err() != nil:
		return limiter.EndStopped
	case j.Absence.Current() != nil:
		return limiter.EndLeft
	case c.atWork[name] != nil || max(c.began[name].n, c.noted[name]) > j.Turn:
		return limiter.EndReplaced // its record is another one than was looked at
	case c.asked[name]:
		return limiter.EndWaits
	}
	room := func() bool {
		j.shares = j.sharesOf(&j.Action)
		return !slices.ContainsFunc(j.shares, c.crowded)
	}
	switch {
	case j.Action.Kind.Orders():
		leave, in := j.Gate.Try(&j.Action, room)
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
	j.since, j.step = c.now(), "begin"
	c.atWork[name], c.began[name] = j, turn{c.turn, j.since}
	return limiter.EndDone
}

// crowded tells whether those who share something have as many places as they may.
// A CA or a DNS account that is slow, or means harm, leaves at least a quarter of
// the places to the others, and the next one that is a quarter of those.
func (c *Crew) crowded(share string) bool {
	n := c.shares[share]
	return n > 0 && 3*(c.free()-1) < n
}

// work does one job to its end. Whatever comes of it, the places are given back.
func (c *Crew) work(j *Job) {
	res, in := attempt.Result{}, limiter.EndStopped
	defer func() {
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

// Sweep drops what is ready of batches whose time has ended.
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

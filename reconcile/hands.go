package reconcile

import (
	"slices"
	"time"
)

// What is ready begins when it has a place under Parallel, nobody asks its CA
// about it just now, and the gate lets it in. It waits in a queue and in no
// goroutine: who waits for a slow CA takes no place from another's certificate.

// sort parts what a plan wants: what is to be looked at and begun, and what waits
// for its place already, as it is. What began since the last pull is neither for a
// minute: who undoes at once what was done, as by overwriting a secret, is met at
// our pace and not at theirs.
func (c *crew) sort(wanted []Action, pulled time.Time) (todo []Action, ready map[string]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ready = map[string]bool{}
	now := c.now()
	for _, a := range wanted {
		began, did := c.began[a.Certificate]
		switch j := c.queued[a.Certificate]; {
		case j != nil && j.action.same(&a) && now.Sub(j.looked).Abs() < waveEvery:
			ready[a.Certificate] = true
		case !did || began.at.Before(pulled) || now.Sub(began.at).Abs() >= waveEvery:
			todo = append(todo, a)
		}
	}
	return todo, ready
}

// drop takes all but some certificates out of the queue: a newer plan wants
// something else of them, or nothing.
func (c *crew) drop(but map[string]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.setReady(slices.DeleteFunc(c.ready, func(j *job) bool {
		drops := !but[j.action.Certificate]
		if drops {
			j.over(Result{}, endReplaced)
		}
		return drops
	}))
}

// put adds to what is ready.
func (c *crew) put(jobs []*job) {
	c.mu.Lock()
	queue := slices.Concat(c.ready, jobs)
	urgent := byDeadline(c.now())
	slices.SortStableFunc(queue, func(a, b *job) int { return urgent(&a.action, &b.action) })
	c.setReady(queue)
	c.mu.Unlock()
	c.handOver()
}

func (c *crew) setReady(queue []*job) {
	c.ready = queue
	clear(c.queued)
	for _, j := range queue {
		c.queued[j.action.Certificate] = j
	}
}

// handOver begins what is ready and can begin. It is called whenever that may be
// otherwise: something ended, an account was found in order, a batch came.
func (c *crew) handOver() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.ready) == 0 || c.free() == 0 {
		return
	}
	var left []*job
	for i, j := range c.ready {
		if c.free() == 0 {
			left = append(left, c.ready[i:]...)
			break
		}
		switch in := c.begin(j); in {
		case endDone:
			go c.work(j)
		case endWaits:
			left = append(left, j)
		default:
			j.over(Result{}, in)
		}
	}
	c.setReady(left)
}

func (c *crew) free() int { return c.places - len(c.atWork) }

// begin takes the places that a job needs, all of them or none.
func (c *crew) begin(j *job) end {
	name := j.action.Certificate
	switch {
	case j.run.Err() != nil:
		return endStopped
	case j.absence.current() != nil:
		return endLeft
	case c.atWork[name] != nil || max(c.began[name].n, c.noted[name]) > j.turn:
		return endReplaced // its record is another one than was looked at
	case c.asked[name]:
		return endWaits
	}
	room := func() bool {
		j.shares = j.sharesOf(&j.action)
		return !slices.ContainsFunc(j.shares, c.crowded)
	}
	switch {
	case j.action.Kind.Orders():
		leave, in := j.gate.try(&j.action, room)
		if in != endDone {
			return in
		}
		j.leave = leave
	case !room():
		return endWaits
	}
	for _, s := range j.shares {
		c.shares[s]++
	}
	c.turn++
	j.since, j.step = c.now(), "begin"
	c.atWork[name], c.began[name] = j, turn{c.turn, j.since}
	return endDone
}

// crowded tells whether those who share something have as many places as they may.
// A CA or a DNS account that is slow, or means harm, leaves at least a quarter of
// the places to the others, and the next one that is a quarter of those.
func (c *crew) crowded(share string) bool {
	n := c.shares[share]
	return n > 0 && 3*(c.free()-1) < n
}

// work does one job to its end. Whatever comes of it, the places are given back.
func (c *crew) work(j *job) {
	res, in := Result{}, endStopped
	defer func() {
		if j.leave != nil {
			j.leave(res.Event)
		}
		c.mu.Lock()
		delete(c.atWork, j.action.Certificate)
		for _, s := range j.shares {
			if c.shares[s]--; c.shares[s] == 0 {
				delete(c.shares, s)
			}
		}
		c.ended[j.action.Certificate] = true
		c.mu.Unlock()
		j.over(res, in)
		c.handOver()
		c.nudge()
	}()
	res, in = c.do(j)
}

// sweep drops what is ready of batches whose time has ended.
func (c *crew) sweep() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.setReady(slices.DeleteFunc(c.ready, func(j *job) bool {
		stopped := j.run.Err() != nil
		if stopped {
			j.over(Result{}, endStopped)
		}
		return stopped
	}))
}

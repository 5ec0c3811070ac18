package reconcile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// Destination is where notices go.
type Destination struct {
	Name string
	Interest
	// Deliver sends one message; nil is that it was taken.
	Deliver func(ctx context.Context, b Bulletin) error
	// State keeps what was sent. It is in Vault: it has to outlive a disk, be the
	// same for all replicas, and in the ledger each message would be a commit.
	State Anchor
	// Lease lets one replica send at a time; nil: there is one alone.
	Lease Lease
}

const (
	// deliverTimeout bounds one message, also where certroll is told to stop
	// meanwhile, but for deliverGrace.
	deliverTimeout = 30 * time.Second
	deliverGrace   = 3 * time.Second
	// keepAfter is after what time it is kept how far the ledger was read, where
	// nothing was sent: it bounds what is read again after a restart.
	keepAfter = day
)

// courier brings what the ledger says to one destination, at least once.
//
//	ledger   e1 e2 e3 │ e4 e5 e6 e7 │ e8 e9
//	                  after         upto
//	                  what is being sent: its messages are the same at each try,
//	                  sent of them were taken
//
// It reads on from after, and moves that up when all was taken. What waits is
// never kept: it is read again.
type courier struct {
	d       Destination
	n       *Notifier
	history historyCache
	woken   chan struct{}

	kept    kept // as it is in Vault, or is to be
	version int
	known   bool   // kept was read, or is to be written
	unsaved bool   // kept is not in Vault yet
	read    string // the ledger's head up to which all was told
	waitTo  time.Time
}

// kept is what outlives a process.
type kept struct {
	after   place
	upto    place // zero: nothing is being sent
	sent    int   // messages of it that were taken
	tries   int   // in vain, in a row
	retryAt time.Time
}

// place is an event of the ledger.
type place struct {
	id string
	at time.Time
}

func placeOfEvent(e Event, now time.Time) place { return place{e.ID, sooner(e.Time, now)} }

// retryAfter is how long a destination that failed is left alone: five seconds,
// six times as long after each failure more, and an hour at most.
func retryWait(tries int) time.Duration {
	wait := 5 * time.Second
	for range tries - 1 {
		if wait *= 6; wait >= time.Hour {
			return time.Hour
		}
	}
	return wait
}

// run works until ctx ends.
func (c *courier) run(ctx context.Context) {
	for ctx.Err() == nil {
		wait := c.round(ctx)
		var timer <-chan time.Time
		if wait > 0 {
			timer = time.After(wait)
		}
		select {
		case <-ctx.Done():
		case <-c.woken:
		case <-timer:
		}
	}
}

// round sends what there is to be sent. It returns after what time it is to be
// called again; 0: when the ledger has moved on.
func (c *courier) round(ctx context.Context) time.Duration {
	if left := c.waitTo.Sub(c.n.now()); left > 0 {
		return min(left, time.Hour)
	}
	tree, head := c.n.r.scribe.seen()
	if tree == nil || c.known && head == c.read {
		return 0
	}
	again, err := c.bring(ctx, tree, head)
	switch {
	case ctx.Err() != nil:
		return 0
	case err != nil:
		c.n.o.Told(c.d.Name, nil, err)
		again = time.Minute
	}
	c.waitTo = c.n.now().Add(again)
	return again
}

// bring is round without its patience.
func (c *courier) bring(ctx context.Context, tree fs.FS, head string) (again time.Duration, err error) {
	if !c.known {
		if err := c.load(ctx, tree); err != nil {
			return 0, err
		}
	}
	if w, err := c.waiting(tree); err != nil || len(w.bulletins) == 0 {
		if err == nil {
			err = c.passOver(ctx, w)
		}
		if err == nil && w.more {
			return time.Millisecond, nil
		}
		if err == nil {
			c.read = head
		}
		return 0, err
	}
	held, err := c.lease(ctx)
	if err != nil || !held {
		return leaseRefresh, err
	}
	defer c.release(ctx)
	// Another may have sent it, or tried to, before it was this one's turn.
	if err := c.load(ctx, tree); err != nil {
		return 0, err
	}
	if left := c.kept.retryAt.Sub(c.n.now()); left > 0 {
		return left, nil
	}
	return c.send(ctx, tree, head)
}

// send sends all that waits.
func (c *courier) send(ctx context.Context, tree fs.FS, head string) (time.Duration, error) {
	w, err := c.waiting(tree)
	if err != nil {
		return 0, err
	}
	if len(w.bulletins) > 0 {
		if again := c.sendAll(ctx, w); again > 0 {
			return again, c.store(ctx)
		}
		c.kept = kept{after: w.last}
		if err := c.store(ctx); err != nil {
			return 0, err
		}
	}
	if w.more && ctx.Err() == nil {
		return time.Millisecond, nil
	}
	c.read = head
	return 0, nil
}

// sendAll sends messages until one is not taken; it returns when to try again.
func (c *courier) sendAll(ctx context.Context, w waiting) time.Duration {
	c.kept.upto = w.last
	for _, b := range w.bulletins[min(c.kept.sent, len(w.bulletins)):] {
		held, err := c.lease(ctx)
		if err == nil && !held || ctx.Err() != nil {
			return leaseRefresh
		}
		if err == nil {
			err = c.deliver(ctx, b)
		}
		if err != nil && ctx.Err() != nil {
			return leaseRefresh // it is begun anew by the next process
		}
		if c.n.o.Told(c.d.Name, &b, err); err != nil {
			c.kept.tries++
			wait := retryWait(c.kept.tries)
			c.kept.retryAt = c.n.now().Add(wait)
			return wait
		}
		c.kept.sent++
	}
	return 0
}

// deliver sends one message, which is given a moment to end when ctx does.
func (c *courier) deliver(ctx context.Context, b Bulletin) error {
	call, cancel := context.WithTimeout(context.WithoutCancel(ctx), deliverTimeout)
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(deliverGrace, cancel) })()
	return c.d.Deliver(call, b)
}

// waiting is what was not told to the destination yet.
type waiting struct {
	bulletins []Bulletin
	last      place // up to where it goes
	more      bool  // there is more after it
}

// waiting reads it off the ledger.
func (c *courier) waiting(tree fs.FS) (waiting, error) {
	events, err := c.history.read(tree, c.kept.after.at.Add(-historySpan))
	if err != nil {
		return waiting{}, fmt.Errorf("reading the ledger to see what is to be told: %w", err)
	}
	fresh := c.kept.after.next(events)
	w := waiting{last: c.kept.after}
	if end := c.kept.upto.next(events); c.kept.upto.id != "" && end > fresh {
		w.more = end < len(events)
		events = events[:end]
	} else {
		c.kept.upto, c.kept.sent = place{}, 0 // nothing was begun, or it is gone from the ledger
	}
	if len(events) == fresh {
		return w, nil
	}
	w.last = placeOfEvent(events[len(events)-1], c.n.now())
	told := notices(events, fresh)
	records, err := readSome(tree, told)
	w.bulletins = gather(told, c.d.Interest, records)
	return w, err
}

// next is the index of the first event after a place. In a ledger that was made
// anew the place may be gone: what is younger than it, less a day since a run
// tells what it did some time after it did it, is told once more rather than not.
func (p place) next(events []Event) int {
	since := p.at
	if p.id != "" {
		for i := len(events) - 1; i >= 0; i-- {
			if events[i].ID == p.id {
				return i + 1
			}
		}
		since = since.Add(-day)
	}
	for i, e := range events {
		if !e.Time.Before(since) {
			return i
		}
	}
	return len(events)
}

// readSome reads the records of the certificates that notices are about.
func readSome(tree fs.FS, told []Notice) (map[string]*Record, error) {
	records := map[string]*Record{}
	for _, n := range told {
		for _, name := range n.Certificates {
			if _, ok := records[name]; ok {
				continue
			}
			b, err := fs.ReadFile(tree, recordFile(name))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("reading the record of %q: %w", name, err)
			}
			if records[name], err = UnmarshalRecord(b); err != nil {
				return nil, err
			}
		}
	}
	return records, nil
}

// passOver goes on after what is of no interest, and keeps that now and then.
func (c *courier) passOver(ctx context.Context, w waiting) error {
	if w.last == c.kept.after && !c.unsaved {
		return nil
	}
	far := w.last.at.Sub(c.kept.after.at) >= keepAfter
	if !far && !c.unsaved && c.kept.upto.id == "" {
		return nil // it is read again, which costs little
	}
	c.kept = kept{after: w.last}
	err := c.store(ctx)
	if isConflict(err) {
		c.known = false // another replica was quicker
		return nil
	}
	return err
}

func (c *courier) lease(ctx context.Context) (bool, error) {
	if c.d.Lease == nil {
		return true, nil
	}
	held, _, _, err := c.d.Lease.Acquire(ctx)
	return held, err
}

func (c *courier) release(ctx context.Context) {
	if c.d.Lease == nil {
		return
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	_ = c.d.Lease.Release(end) // one that is not released ends by itself
}

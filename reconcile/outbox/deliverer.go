package outbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"certroll/reconcile/archive"
	"certroll/reconcile/audit"
	"certroll/reconcile/failure"
	"certroll/reconcile/lease"
	"certroll/reconcile/ledger"
	"certroll/reconcile/times"
)

// Destination is where notices go.
type Destination struct {
	Name string
	Interest
	// Compose makes the body of a message. It is asked once of each: what is sent
	// again is what was sent before.
	Compose func(b Notification) ([]byte, error)
	// Deliver sends one message; nil is that it was taken.
	Deliver func(ctx context.Context, m Message) error
	// State keeps what was sent. It is in Vault: it has to outlive a disk, be the
	// same for all replicas, and in the ledger each message would be a commit.
	State audit.Anchor
	// Lease lets one replica send at a time; nil: there is one alone.
	Lease lease.Lease
}

const (
	// deliverTimeout bounds one message, also where certroll is told to stop
	// meanwhile, but for deliverGrace.
	deliverTimeout = 30 * time.Second
	deliverGrace   = 3 * time.Second
	// keepAfter is after what time it is kept how far the ledger was read, where
	// nothing was sent: it bounds what is read again after a restart.
	keepAfter = times.Day
)

// deliverer brings what the ledger says to one destination, at least once.
//
//	ledger   e1 e2 e3 │ e4 e5 e6 e7 │ e8 e9
//	                  after         upto
//	                  its messages are kept, sent of them were taken
//
// It reads on from after. What it finds there is made into messages, which are
// kept before the first is sent: whoever sends one again, after a crash too,
// sends the same. When all were taken, after moves up. What comes meanwhile is
// never kept: it is read again.
type deliverer struct {
	d       Destination
	n       *Notifier
	history archive.HistoryCache
	woken   chan struct{}

	kept    DeliveryState // as it is in Vault, or is to be
	version int
	known   bool   // kept was read, or is to be written
	unsaved bool   // kept is not in Vault yet
	read    string // the ledger's head up to which all was told
	waitTo  time.Time
}

// mostPatience is the longest time between two tries.
const mostPatience = time.Hour

// retryWait is how long a destination that failed is left alone: five seconds,
// six times as long after each failure more, up to mostPatience.
func retryWait(tries int) time.Duration {
	wait := 5 * time.Second
	for range tries - 1 {
		if wait *= 6; wait >= mostPatience {
			return mostPatience
		}
	}
	return wait
}

// run works until ctx ends.
func (c *deliverer) run(ctx context.Context) {
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
func (c *deliverer) round(ctx context.Context) time.Duration {
	// A longer wait was begun by a clock that ran ahead.
	if left := c.waitTo.Sub(c.n.now()); left > 0 && left <= mostPatience {
		return left
	}
	tree, head := c.n.r.Writer.Seen()
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
func (c *deliverer) bring(ctx context.Context, tree fs.FS, head string) (again time.Duration, err error) {
	if !c.known {
		if err := c.load(ctx, tree); err != nil {
			return 0, err
		}
	}
	c.rightClock()
	if len(c.kept.Messages) == 0 {
		w, err := c.waiting(ctx, tree, head)
		if err == nil && len(w.bulletins) == 0 {
			if err = c.passOver(ctx, w); err == nil {
				c.read = w.head
			}
			return 0, err
		}
		if err != nil {
			return 0, err
		}
	}
	held, err := c.lease(ctx)
	if err != nil || !held {
		return lease.LeaseRefresh, err
	}
	defer c.release(ctx)
	// Another may have sent it, or tried to, before it was this one's turn.
	if err := c.load(ctx, tree); err != nil {
		return 0, err
	}
	c.rightClock()
	if left := c.kept.RetryAt.Sub(c.n.now()); left > 0 {
		return left, nil
	}
	return c.send(ctx, tree, head)
}

// rightClock mends what a clock that ran ahead has kept.
func (c *deliverer) rightClock() {
	if k, changed := c.kept.asOf(c.n.now()); changed {
		c.kept, c.unsaved = k, true
	}
}

// send sends what was begun, or all that waits.
func (c *deliverer) send(ctx context.Context, tree fs.FS, head string) (time.Duration, error) {
	upTo := "" // the head that it goes up to; "" for what was begun
	if len(c.kept.Messages) == 0 {
		w, err := c.waiting(ctx, tree, head)
		if err != nil {
			return 0, err
		}
		if len(w.bulletins) == 0 {
			c.read = w.head // another has sent it
			return 0, nil
		}
		if err := c.compose(w); err != nil {
			return 0, err
		}
		upTo = w.head
	}
	if c.unsaved {
		if err := c.store(ctx); err != nil {
			return 0, err
		}
	}
	if again := c.sendAll(ctx); again > 0 {
		return again, c.store(ctx)
	}
	c.kept = DeliveryState{after: c.kept.upto}
	if err := c.store(ctx); err != nil {
		return 0, err
	}
	if upTo == "" {
		return time.Millisecond, nil // more may have come since
	}
	c.read = upTo
	return 0, nil
}

// compose makes the messages of what waits.
func (c *deliverer) compose(w waiting) error {
	k := DeliveryState{after: c.kept.after, upto: w.last}
	for _, b := range w.bulletins {
		body, err := c.d.Compose(b)
		if err != nil {
			return fmt.Errorf("composing a message: %w", err)
		}
		k.Messages = append(k.Messages, Message{ID: b.ID, Kind: b.Kind, Notices: len(b.Notices), Body: body})
	}
	c.kept, c.unsaved = k, true
	return nil
}

// sendAll sends messages until one is not taken; it returns when to try again.
func (c *deliverer) sendAll(ctx context.Context) time.Duration {
	for c.kept.Sent < len(c.kept.Messages) {
		m := c.kept.Messages[c.kept.Sent]
		held, err := c.lease(ctx)
		if err == nil && !held || ctx.Err() != nil {
			return lease.LeaseRefresh
		}
		if err == nil {
			err = c.deliver(ctx, m)
		}
		if err != nil && ctx.Err() != nil {
			return lease.LeaseRefresh // it is begun anew by the next process
		}
		if c.n.o.Told(c.d.Name, &m, err); err != nil {
			c.kept.Tries++
			wait := retryWait(c.kept.Tries)
			c.kept.RetryAt = c.n.now().Add(wait)
			return wait
		}
		c.kept.Sent++
	}
	return 0
}

// deliver sends one message, which is given a moment to end when ctx does.
func (c *deliverer) deliver(ctx context.Context, m Message) error {
	call, cancel := context.WithTimeout(context.WithoutCancel(ctx), deliverTimeout)
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(deliverGrace, cancel) })()
	return c.d.Deliver(call, m)
}

// waiting is what was not told to the destination yet.
type waiting struct {
	bulletins []Notification
	last      cursor // up to where it goes
	head      string // of the ledger it was read off
}

// waiting reads it off the ledger.
func (c *deliverer) waiting(ctx context.Context, tree fs.FS, head string) (waiting, error) {
	events, fresh, found, err := c.untold(tree)
	if err == nil && !found {
		// Another replica may have told of what this one has not seen yet. Only
		// from a ledger of now can it be gone.
		if tree, head, err = c.n.r.LookAnew(ctx); err == nil {
			events, fresh, _, err = c.untold(tree)
		}
	}
	if err != nil {
		return waiting{}, fmt.Errorf("reading the ledger for events to deliver: %w", err)
	}
	w := waiting{last: c.kept.after, head: head}
	if len(events) == fresh {
		return w, nil
	}
	w.last = cursorOfEvent(events[len(events)-1], c.n.now())
	told := Notices(events, fresh)
	records, err := ReadSome(tree, told)
	w.bulletins = Group(told, c.d.Interest, records)
	return w, err
}

// untold are the events of late, the index of the first that was not told, and
// whether the last that was told is among them.
func (c *deliverer) untold(tree fs.FS) (events []ledger.Event, fresh int, found bool, err error) {
	events, err = c.history.Read(tree, c.kept.after.at.Add(-archive.HistorySpan))
	fresh, found = c.kept.after.next(events)
	return events, fresh, found, err
}

// ReadSome reads the records of the certificates that notices are about.
func ReadSome(tree fs.FS, told []Notice) (map[string]*ledger.Record, error) {
	records := map[string]*ledger.Record{}
	for _, n := range told {
		for _, name := range n.Certificates {
			if _, ok := records[name]; ok {
				continue
			}
			b, err := fs.ReadFile(tree, ledger.RecordFile(name))
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
				continue // invalid is a name that somebody else put into the ledger
			}
			if err != nil {
				return nil, fmt.Errorf("reading the record of %q: %w", name, err)
			}
			if r, err := ledger.UnmarshalRecord(b); err == nil { // else see Unreadable
				records[name] = r
			}
		}
	}
	return records, nil
}

// passOver goes on after what is of no interest, and keeps that now and then.
func (c *deliverer) passOver(ctx context.Context, w waiting) error {
	if w.last == c.kept.after && !c.unsaved {
		return nil
	}
	if far := w.last.at.Sub(c.kept.after.at) >= keepAfter; !far && !c.unsaved {
		return nil // it is read again, which costs little
	}
	c.kept = DeliveryState{after: w.last}
	err := c.store(ctx)
	if failure.IsConflict(err) {
		c.known = false // another replica was quicker
		return nil
	}
	return err
}

func (c *deliverer) lease(ctx context.Context) (bool, error) {
	if c.d.Lease == nil {
		return true, nil
	}
	held, _, _, err := c.d.Lease.Acquire(ctx)
	return held, err
}

func (c *deliverer) release(ctx context.Context) {
	if c.d.Lease == nil {
		return
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), lease.WriteTimeout)
	defer cancel()
	_ = c.d.Lease.Release(end) // one that is not released ends by itself
}

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

// Destination is a receiver of notices.
type Destination struct {
	Name string
	Interest
	// Compose makes the body of a message. It runs once per message: a retry sends the
	// stored body.
	Compose func(b Notification) ([]byte, error)
	// Deliver sends one message; nil: the receiver accepted it.
	Deliver func(ctx context.Context, m Message) error
	// State stores the progress. It is in Vault because it must survive the disk and be
	// shared by all replicas. In the ledger each message would be a commit.
	State audit.Anchor
	// Lease lets one replica send at a time; nil: there is one replica.
	Lease lease.Lease
}

const (
	// deliverTimeout bounds the delivery of one message. If certroll is told to stop
	// meanwhile, deliverGrace bounds it.
	deliverTimeout = 30 * time.Second
	deliverGrace   = 3 * time.Second
	// keepAfter is how often the position in the ledger is stored if nothing was sent. It
	// bounds how much a restarted process reads again.
	keepAfter = times.Day
)

// deliverer delivers the ledger's events to one destination, at least once.
//
//	ledger   e1 e2 e3 │ e4 e5 e6 e7 │ e8 e9
//	                after          upto
//	         messages of e4 to e7 are stored; Sent of them are delivered
//
// It reads from after. It stores the messages before it sends the first one, so that each
// retry, also after a crash, sends the same bytes. Once all are delivered, after moves to
// upto. Events that arrive meanwhile are not stored; the next round reads them.
type deliverer struct {
	d       Destination
	n       *Notifier
	history archive.HistoryCache
	woken   chan struct{}

	stored  DeliveryState // as stored in Vault, or to be stored
	version int
	known   bool   // kept was loaded or stored
	unsaved bool   // kept is not in Vault yet
	read    string // ledger head up to which everything is delivered
	waitTo  time.Time
}

// mostPatience is the longest wait between two tries.
const mostPatience = time.Hour

// retryWait returns the wait after a number of failed tries: 5 s, 30 s, 3 min, 18 min,
// then mostPatience.
func retryWait(tries int) time.Duration {
	wait := 5 * time.Second
	for range tries - 1 {
		if wait *= 6; wait >= mostPatience {
			return mostPatience
		}
	}
	return wait
}

// run delivers until ctx ends.
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

// round delivers everything that waits. It returns the wait until the next round; 0:
// until the ledger changes.
func (c *deliverer) round(ctx context.Context) time.Duration {
	// A longer wait than mostPatience was set by a fast clock, and is ignored.
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
		c.n.o.Delivered(c.d.Name, nil, err)
		again = time.Minute
	}
	c.waitTo = c.n.now().Add(again)
	return again
}

// bring is round without the wait for waitTo.
func (c *deliverer) bring(ctx context.Context, tree fs.FS, head string) (again time.Duration, err error) {
	if !c.known {
		if err := c.load(ctx, tree); err != nil {
			return 0, err
		}
	}
	c.rightClock()
	if len(c.stored.Messages) == 0 {
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
	// Another replica may have sent it while this one waited for the lease.
	if err := c.load(ctx, tree); err != nil {
		return 0, err
	}
	c.rightClock()
	if left := c.stored.RetryAt.Sub(c.n.now()); left > 0 {
		return left, nil
	}
	return c.send(ctx, tree, head)
}

// rightClock repairs times that a fast clock has stored.
func (c *deliverer) rightClock() {
	if k, changed := c.stored.asOf(c.n.now()); changed {
		c.stored, c.unsaved = k, true
	}
}

// send delivers the stored messages, or composes and delivers those of new events.
func (c *deliverer) send(ctx context.Context, tree fs.FS, head string) (time.Duration, error) {
	upTo := "" // ledger head to reach; "" for stored messages
	if len(c.stored.Messages) == 0 {
		w, err := c.waiting(ctx, tree, head)
		if err != nil {
			return 0, err
		}
		if len(w.bulletins) == 0 {
			c.read = w.head // another replica sent it
			return 0, nil
		}
		if err := c.compose(w); err != nil {
			return 0, err
		}
		upTo = w.head
	}
	// Stored before the first delivery, so that a retry after a crash sends the same
	// bytes.
	if c.unsaved {
		if err := c.store(ctx); err != nil {
			return 0, err
		}
	}
	if again := c.sendAll(ctx); again > 0 {
		return again, c.store(ctx)
	}
	// All delivered: the position moves, and the messages are dropped.
	c.stored = DeliveryState{after: c.stored.upto}
	if err := c.store(ctx); err != nil {
		return 0, err
	}
	if upTo == "" {
		return time.Millisecond, nil // events may have arrived since
	}
	c.read = upTo
	return 0, nil
}

// compose makes the messages of the waiting notifications.
func (c *deliverer) compose(w waiting) error {
	k := DeliveryState{after: c.stored.after, upto: w.last}
	for _, b := range w.bulletins {
		body, err := c.d.Compose(b)
		if err != nil {
			return fmt.Errorf("composing a message: %w", err)
		}
		k.Messages = append(k.Messages, Message{ID: b.ID, Kind: b.Kind, Notices: len(b.Notices), Body: body})
	}
	c.stored, c.unsaved = k, true
	return nil
}

// sendAll sends messages until one fails. It returns the wait until the retry.
func (c *deliverer) sendAll(ctx context.Context) time.Duration {
	for c.stored.Sent < len(c.stored.Messages) {
		m := c.stored.Messages[c.stored.Sent]
		held, err := c.lease(ctx)
		if err == nil && !held || ctx.Err() != nil {
			return lease.LeaseRefresh
		}
		if err == nil {
			err = c.deliver(ctx, m)
		}
		if err != nil && ctx.Err() != nil {
			return lease.LeaseRefresh // the next process sends it again
		}
		if c.n.o.Delivered(c.d.Name, &m, err); err != nil {
			c.stored.Tries++
			wait := retryWait(c.stored.Tries)
			c.stored.RetryAt = c.n.now().Add(wait)
			return wait
		}
		c.stored.Sent++
	}
	return 0
}

// deliver sends one message. When ctx ends, it may continue for deliverGrace.
func (c *deliverer) deliver(ctx context.Context, m Message) error {
	call, cancel := context.WithTimeout(context.WithoutCancel(ctx), deliverTimeout)
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(deliverGrace, cancel) })()
	return c.d.Deliver(call, m)
}

// waiting is everything that the destination has not received yet.
type waiting struct {
	bulletins []Notification
	last      cursor // position after them
	head      string // ledger head they were read from
}

// waiting reads the events after the position and groups their notices.
func (c *deliverer) waiting(ctx context.Context, tree fs.FS, head string) (waiting, error) {
	// The history before the position gives the classifier its state.
	events, fresh, found, err := c.undelivered(tree)
	if err == nil && !found {
		// Another replica may have stored a position in a newer ledger. Only a freshly
		// fetched ledger proves that the event at the position is gone.
		if tree, head, err = c.n.r.LookAnew(ctx); err == nil {
			events, fresh, _, err = c.undelivered(tree)
		}
	}
	if err != nil {
		return waiting{}, fmt.Errorf("reading the ledger for events to deliver: %w", err)
	}
	w := waiting{last: c.stored.after, head: head}
	if len(events) == fresh {
		return w, nil
	}
	w.last = cursorOfEvent(events[len(events)-1], c.n.now())
	notices := Notices(events, fresh)
	records, err := ReadSome(tree, notices)
	w.bulletins = Group(notices, c.d.Interest, records)
	return w, err
}

// undelivered returns the recent events, the index of the first undelivered one, and whether
// the position's event is among them.
func (c *deliverer) undelivered(tree fs.FS) (events []ledger.Event, fresh int, found bool, err error) {
	events, err = c.history.Read(tree, c.stored.after.at.Add(-archive.HistorySpan))
	fresh, found = c.stored.after.next(events)
	return events, fresh, found, err
}

// ReadSome reads the records of the certificates in the notices.
func ReadSome(tree fs.FS, notices []Notice) (map[string]*ledger.Record, error) {
	records := map[string]*ledger.Record{}
	for _, n := range notices {
		for _, name := range n.Certificates {
			if _, ok := records[name]; ok {
				continue
			}
			b, err := fs.ReadFile(tree, ledger.RecordFile(name))
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
				continue // ErrInvalid: a foreign entry's name is no valid path
			}
			if err != nil {
				return nil, fmt.Errorf("reading the record of %q: %w", name, err)
			}
			if r, err := ledger.UnmarshalRecord(b); err == nil { // Unreadable reports the others
				records[name] = r
			}
		}
	}
	return records, nil
}

// passOver moves the position past events without notices, and stores it about once a
// day.
func (c *deliverer) passOver(ctx context.Context, w waiting) error {
	if w.last == c.stored.after && !c.unsaved {
		return nil
	}
	if far := w.last.at.Sub(c.stored.after.at) >= keepAfter; !far && !c.unsaved {
		return nil // cheap to read again
	}
	c.stored = DeliveryState{after: w.last}
	err := c.store(ctx)
	if failure.IsConflict(err) {
		c.known = false // another replica stored a position first
		return nil
	}
	return err
}

// lease takes or renews the destination's lease.
func (c *deliverer) lease(ctx context.Context) (bool, error) {
	if c.d.Lease == nil {
		return true, nil
	}
	held, _, _, err := c.d.Lease.Acquire(ctx)
	return held, err
}

// release gives the destination's lease back.
func (c *deliverer) release(ctx context.Context) {
	if c.d.Lease == nil {
		return
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), lease.WriteTimeout)
	defer cancel()
	_ = c.d.Lease.Release(end) // a lease that is not released expires by itself
}

package outbox

import (
	"context"
	"io/fs"
	"sync"
	"time"

	"certroll/reconcile/archive"
	"certroll/reconcile/audit"
	"certroll/reconcile/failure"
	"certroll/reconcile/lease"
	"certroll/reconcile/recorder"
)

// NotifierOptions are the settings of a Notifier.
type NotifierOptions struct {
	// Since is the time from which a new destination gets notices.
	Since time.Time
	// Delivered is called after each delivery and each error, from many goroutines. m is nil
	// if the error came before a message.
	Delivered func(destination string, m *Message, err error)
}

// Notifier delivers notices to all destinations independently: a destination that fails
// delays neither the others nor the certificates.
type Notifier struct {
	r          *recorder.Recorder
	o          NotifierOptions
	deliverers []*deliverer
}

// NewNotifier returns a notifier that reads the ledger as the recorder saw it last.
func NewNotifier(r *recorder.Recorder, destinations []Destination, o NotifierOptions) *Notifier {
	if o.Delivered == nil {
		o.Delivered = func(string, *Message, error) {}
	}
	n := &Notifier{r: r, o: o}
	for _, d := range destinations {
		n.deliverers = append(n.deliverers, &deliverer{d: d, n: n, woken: make(chan struct{}, 1)})
	}
	return n
}

// now returns the wall clock time, without the monotonic reading.
func (n *Notifier) now() time.Time { return n.r.Now().Round(0) }

// Run delivers until ctx ends.
func (n *Notifier) Run(ctx context.Context) { n.each(func(c *deliverer) { c.run(ctx) }) }

// Once delivers what waits now. It leaves what fails to the next run.
func (n *Notifier) Once(ctx context.Context) {
	n.each(func(c *deliverer) {
		// A second round follows after the stored messages of an earlier run.
		for again, rounds := time.Millisecond, 0; again == time.Millisecond && rounds < 2; rounds++ {
			c.waitTo = time.Time{}
			again = c.round(ctx)
		}
	})
}

// each runs do for all destinations concurrently, and waits for them.
func (n *Notifier) each(do func(*deliverer)) {
	var all sync.WaitGroup
	for _, c := range n.deliverers {
		all.Go(func() { do(c) })
	}
	all.Wait()
}

// Wake reports that the ledger may have changed.
func (n *Notifier) Wake() {
	for _, c := range n.deliverers {
		select {
		case c.woken <- struct{}{}:
		default: // woken already
		}
	}
}

// load reads the stored progress. Progress that this process could not store stays in
// force, unless another replica has stored something since.
func (c *deliverer) load(ctx context.Context, tree fs.FS) error {
	fields, version, err := c.d.State.Load(ctx)
	if err != nil {
		return err
	}
	// Unchanged since this process stored it.
	if c.known && version == c.version {
		return nil
	}
	c.version = version
	if len(fields) == 0 {
		if err = c.begin(ctx, tree); !failure.IsConflict(err) {
			return err
		}
		// Another replica created the state at the same moment.
		if fields, c.version, err = c.d.State.Load(ctx); err != nil {
			return err
		}
	}
	if c.stored, err = DeliveryStateOf(fields); err != nil {
		return audit.Foreign("delivery progress", c.d.State, err)
	}
	c.known, c.unsaved = true, false
	return nil
}

// begin starts a new destination at Since, so that it does not get years of old notices.
func (c *deliverer) begin(ctx context.Context, tree fs.FS) error {
	events, err := archive.ReadHistory(tree, c.n.o.Since.Add(-archive.HistorySpan))
	if err != nil {
		return err
	}
	// The ledger stores times with milliseconds.
	c.stored = DeliveryState{after: cursor{at: c.n.o.Since.UTC().Truncate(time.Millisecond)}}
	if i, _ := c.stored.after.next(events); i > 0 {
		c.stored.after = cursorOfEvent(events[i-1], c.n.now())
	}
	err = c.store(ctx)
	c.known = err == nil
	return err
}

// store writes the progress, even if ctx has ended: the message is delivered by then.
func (c *deliverer) store(ctx context.Context) error {
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), lease.WriteTimeout)
	defer cancel()
	c.unsaved = true
	fields, err := c.stored.Fields()
	if err != nil {
		return err
	}
	if err := c.d.State.Store(end, fields, c.version); err != nil {
		return err
	}
	c.unsaved = false
	c.version++ // the version that check-and-set wrote
	return nil
}

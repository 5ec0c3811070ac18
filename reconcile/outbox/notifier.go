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

// NotifierOptions are a Notifier's settings.
type NotifierOptions struct {
	// Since is from when on a destination is told that was never told anything.
	Since time.Time
	// Told is told of each message that was sent, or why it was not. m is nil
	// where it did not come to that. It is called from many goroutines.
	Told func(destination string, m *Message, err error)
}

// Notifier tells destinations what the ledger says, each by itself: one that is
// away holds up neither another nor the certificates.
type Notifier struct {
	r          *recorder.Recorder
	o          NotifierOptions
	deliverers []*deliverer
}

// NewNotifier makes a notifier that reads the ledger as a reconciler last saw it.
func NewNotifier(r *recorder.Recorder, destinations []Destination, o NotifierOptions) *Notifier {
	if o.Told == nil {
		o.Told = func(string, *Message, error) {}
	}
	n := &Notifier{r: r, o: o}
	for _, d := range destinations {
		n.deliverers = append(n.deliverers, &deliverer{d: d, n: n, woken: make(chan struct{}, 1)})
	}
	return n
}

func (n *Notifier) now() time.Time { return n.r.Now().Round(0) }

// Run tells until ctx ends.
func (n *Notifier) Run(ctx context.Context) { n.each(func(c *deliverer) { c.run(ctx) }) }

// Once tells what there is to tell now. What cannot be told is left to the next
// run.
func (n *Notifier) Once(ctx context.Context) {
	n.each(func(c *deliverer) {
		// A second round goes on after what an earlier run had begun to send.
		for again, rounds := time.Millisecond, 0; again == time.Millisecond && rounds < 2; rounds++ {
			c.waitTo = time.Time{}
			again = c.round(ctx)
		}
	})
}

func (n *Notifier) each(do func(*deliverer)) {
	var all sync.WaitGroup
	for _, c := range n.deliverers {
		all.Go(func() { do(c) })
	}
	all.Wait()
}

// Wake says that the ledger may have moved on.
func (n *Notifier) Wake() {
	for _, c := range n.deliverers {
		select {
		case c.woken <- struct{}{}:
		default: // it is woken already
		}
	}
}

// load takes up what is kept of the destination. What this process has sent and
// could not keep stands, unless another went on meanwhile.
func (c *deliverer) load(ctx context.Context, tree fs.FS) error {
	fields, version, err := c.d.State.Load(ctx)
	if err != nil {
		return err
	}
	if c.known && version == c.version {
		return nil
	}
	c.version = version
	if len(fields) == 0 {
		if err = c.begin(ctx, tree); !failure.IsConflict(err) {
			return err
		}
		// Another replica has begun just now.
		if fields, c.version, err = c.d.State.Load(ctx); err != nil {
			return err
		}
	}
	if c.kept, err = DeliveryStateOf(fields); err != nil {
		return audit.Foreign("delivery progress", c.d.State, err)
	}
	c.known, c.unsaved = true, false
	return nil
}

// begin has a destination that is new told of what comes, and not of years.
func (c *deliverer) begin(ctx context.Context, tree fs.FS) error {
	events, err := archive.ReadHistory(tree, c.n.o.Since.Add(-archive.HistorySpan))
	if err != nil {
		return err
	}
	// Events tell their time by the millisecond.
	c.kept = DeliveryState{after: cursor{at: c.n.o.Since.UTC().Truncate(time.Millisecond)}}
	if i, _ := c.kept.after.next(events); i > 0 {
		c.kept.after = cursorOfEvent(events[i-1], c.n.now())
	}
	err = c.store(ctx)
	c.known = err == nil
	return err
}

// store keeps it, also where ctx has ended.
func (c *deliverer) store(ctx context.Context) error {
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), lease.WriteTimeout)
	defer cancel()
	c.unsaved = true
	fields, err := c.kept.Fields()
	if err != nil {
		return err
	}
	if err := c.d.State.Store(end, fields, c.version); err != nil {
		return err
	}
	c.unsaved = false
	c.version++ // check-and-set makes it the next one
	return nil
}

package daemon

import (
	"context"
	"sync"

	"certroll/cmd/certroll/settings"
	"certroll/reconcile/outbox"
)

// notices holds the notifier of run, and replaces it when a reload changes the
// destinations.
type notices struct {
	start func(*settings.Settings) // called once run may notify

	mu    sync.Mutex
	now   *outbox.Notifier // nil: no destination
	stop  context.CancelFunc
	ended chan struct{} // closed once the previous notifier has ended
}

// run starts a notifier (nil: none) in place of the previous one, after that has ended:
// two would send the same messages.
func (n *notices) run(ctx context.Context, beside *sync.WaitGroup, next *outbox.Notifier) {
	n.mu.Lock()
	defer n.mu.Unlock()
	before, ended := n.ended, make(chan struct{})
	if n.stop != nil {
		n.stop()
	}
	ctx, n.stop = context.WithCancel(ctx)
	n.now, n.ended = next, ended
	beside.Go(func() {
		defer close(ended)
		if before != nil {
			<-before
		}
		if next != nil {
			next.Run(ctx)
		}
	})
}

// wake makes the notifier read the ledger's new events.
func (n *notices) wake() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.now != nil {
		n.now.Wake()
	}
}

package daemon

import (
	"context"
	"sync"

	"certroll/cmd/certroll/settings"
	"certroll/reconcile/outbox"
)

// notices is the notifier of run, which another takes the place of where certroll.hcl has
// other destinations.
type notices struct {
	start func(*settings.Settings) // from when on run notifies

	mu    sync.Mutex
	now   *outbox.Notifier // nil: nobody is told
	stop  context.CancelFunc
	ended chan struct{} // closed when the one before has ended
}

// run lets a notifier, nil for none, run in the place of the one before, once that has
// ended: two would send the same.
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

// wake has the destinations read what the ledger has new.
func (n *notices) wake() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.now != nil {
		n.now.Wake()
	}
}

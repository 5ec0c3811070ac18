package reconcile

import "context"

// turn lets one at a time in. Unlike a mutex nobody waits for it longer than
// their context lasts: who has it may be talking to a Git that hangs.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

// take waits for the turn, or returns the context's error.
func (t turn) take(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t turn) give() { <-t }

package lease

import (
	"context"
	"fmt"
	"time"

	"certroll/reconcile/ledger"
)

const (
	// WriteTimeout bounds what is done to its end even when certroll is told
	// to stop: two writes to Vault.
	WriteTimeout = 30 * time.Second
	// LeaseRefresh is how often the lease is renewed while Apply runs, and
	// asked for while another holds it.
	LeaseRefresh = 5 * time.Second
)

// HeldError says that another reconciler is at work.
type HeldError struct {
	By    string
	Until time.Time
}

func (e *HeldError) Error() string {
	return fmt.Sprintf("taking the lease: %s holds it until %s; wait for it to end, or stop that one",
		e.By, e.Until.UTC().Format(time.RFC3339))
}

// Class says that it is Vault's matter.
func (e *HeldError) Class() string { return string(ledger.ClassVault) }

// Fenced is over, too, from when the lease is by the clock. A process that was
// stopped for a while goes on where it was, before any timer of its fires: this
// is what keeps its next step back.
//
//	steps   ├─ order ─┤ stopped ........ ├─ over: no further step
//	lease   ├── until ────┤ another's ───────────────▶
type Fenced struct {
	context.Context
	Over func() bool
}

// Err is what ended the context, or that the lease is over.
func (f Fenced) Err() error {
	if err := f.Context.Err(); err != nil || !f.Over() {
		return err
	}
	return context.Canceled
}

// Lease lets one writer in at a time.
type Lease interface {
	// Acquire takes or renews the lease, or says who holds it until when.
	Acquire(ctx context.Context) (held bool, by string, until time.Time, err error)
	// Release gives it back before it ends.
	Release(ctx context.Context) error
}

package lease

import (
	"context"
	"fmt"
	"time"

	"certroll/reconcile/ledger"
)

const (
	// WriteTimeout bounds work that finishes even after certroll was told to stop: two
	// writes to Vault.
	WriteTimeout = 30 * time.Second
	// LeaseRefresh is the interval at which Apply renews the lease, and at which it tries
	// again while another process holds the lease.
	LeaseRefresh = 5 * time.Second
)

// HeldError reports that another certroll holds the lease.
type HeldError struct {
	By    string
	Until time.Time
}

func (e *HeldError) Error() string {
	return fmt.Sprintf("taking the lease: %s holds it until %s; wait for it to end, or stop that one",
		e.By, e.Until.UTC().Format(time.RFC3339))
}

// Class returns ledger.ClassVault.
func (e *HeldError) Class() string { return string(ledger.ClassVault) }

// Fenced is a context that also ends when the lease expires by the clock. After a
// suspension a process continues before its timers fire; Fenced stops it before the next
// step.
//
//	steps   ├─ order ─┤ suspended ...... ├─ over: no further step
//	lease   ├── until ────┤ held by another certroll ────────▶
type Fenced struct {
	context.Context
	Over func() bool
}

// Err returns the error of the context, or context.Canceled if the lease is over.
func (f Fenced) Err() error {
	if err := f.Context.Err(); err != nil || !f.Over() {
		return err
	}
	return context.Canceled
}

// Lease lets one certroll write at a time. Vault's check-and-set implements it.
type Lease interface {
	// Acquire takes or renews the lease. If another holds it, held is false, and by and
	// until name the holder and the lease's end.
	Acquire(ctx context.Context) (held bool, by string, until time.Time, err error)
	// Release gives the lease up before it expires.
	Release(ctx context.Context) error
}

package wiring

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"certroll/reconcile/lease"
)

// LoggedLease logs when the lease is taken, lost and released, and its other holder.
type LoggedLease struct {
	lease.Lease
	log *slog.Logger

	mu    sync.Mutex
	until time.Time // zero: not held by this process
	other string    // the other holder that was logged last
}

// Acquire takes or renews the lease.
func (l *LoggedLease) Acquire(ctx context.Context) (held bool, by string, until time.Time, err error) {
	held, by, until, err = l.Lease.Acquire(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	ours := !l.until.IsZero()
	switch {
	case err != nil:
	case held:
		if !ours {
			l.log.Info("lease taken", "until", until.UTC().Format(time.RFC3339))
		}
		l.until, l.other = until, ""
	case ours:
		l.log.Warn("lease lost", "holder", by)
		l.until, l.other = time.Time{}, by
	case by != l.other:
		l.log.Info("lease held by another", "holder", by, "until", until.UTC().Format(time.RFC3339))
		l.other = by
	}
	return held, by, until, err
}

// Release releases the lease. A lease past its end counts as lost.
func (l *LoggedLease) Release(ctx context.Context) error {
	err := l.Lease.Release(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.until.IsZero():
	case time.Now().After(l.until):
		l.log.Warn("lease lost", "holder", "")
	case err != nil:
		l.log.Warn("could not release the lease; it expires at its end", "until", l.until.UTC().Format(time.RFC3339), "error", err)
	default:
		l.log.Info("lease released")
	}
	l.until = time.Time{}
	return err
}

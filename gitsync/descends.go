package gitsync

import (
	"context"
	"errors"

	"github.com/go-git/go-git/v5/plumbing"

	"certroll/gitsync/packfile"
)

// Descends reports whether the branch, as last seen, descends from a commit. It fetches the
// history between the two if the store lacks it.
func (l *Ledger) Descends(ctx context.Context, commit string) (bool, error) {
	if err := l.turn.Acquire(ctx, 1); err != nil {
		return false, l.remote.Explain(ctx, l.doing("reading the history of"), err)
	}
	defer l.turn.Release(1)
	head, old := l.store.State.Head, plumbing.NewHash(commit)
	switch {
	case head.IsZero() || old.IsZero():
		return false, nil
	case l.store.Descends(head, old, plumbing.ZeroHash):
		return true, nil
	// The answer for two commits never changes, so ask the remote once.
	case l.asked.head == head && l.asked.old == old:
		return l.asked.descends, nil
	}
	ctx, cancel := l.remote.Bound(ctx)
	defer cancel()
	ok, err := connects(ctx, l.remote, l.doing("reading the history of"), head, old, maxBetween)
	if errors.Is(err, packfile.ErrTooLarge) {
		ok, err = false, nil // no two consecutive reads of a ledger are this far apart
	}
	if err != nil {
		return false, l.remote.Explain(ctx, l.doing("reading the history of"), err)
	}
	l.asked = ancestry{head, old, ok}
	return ok, nil
}

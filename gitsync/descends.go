package gitsync

import (
	"context"
	"errors"

	"github.com/go-git/go-git/v5/plumbing"

	"certroll/gitsync/packfile"
)

// Descends tells whether the branch, as it was seen last, goes on from a
// commit. What lies between them is fetched where it is not here.
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
	case l.asked.head == head && l.asked.old == old:
		return l.asked.descends, nil
	}
	ctx, cancel := l.remote.Bound(ctx)
	defer cancel()
	ok, err := connects(ctx, l.remote, l.doing("reading the history of"), head, old, maxBetween)
	if errors.Is(err, packfile.ErrTooLarge) {
		ok, err = false, nil // far more than lies between two looks at a ledger
	}
	if err != nil {
		return false, l.remote.Explain(ctx, l.doing("reading the history of"), err)
	}
	l.asked = ancestry{head, old, ok}
	return ok, nil
}

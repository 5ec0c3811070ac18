package gitsync

import (
	"context"

	"github.com/go-git/go-git/v5/plumbing"
)

// kinship is what was found out of two commits. To find out that they are none
// of the same line takes the whole history, so it is remembered.
type kinship struct {
	head, of plumbing.Hash
	descends bool
}

// Descends tells whether the branch, as it was seen last, goes on from a
// commit. What lies between them is fetched where it is not here.
func (l *Ledger) Descends(ctx context.Context, commit string) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	head, of := l.store.state.Head, plumbing.NewHash(commit)
	switch {
	case head.IsZero() || of.IsZero():
		return false, nil
	case l.store.descends(head, of, plumbing.ZeroHash):
		return true, nil
	case l.kin.head == head && l.kin.of == of:
		return l.kin.descends, nil
	}
	ctx, cancel := l.remote.bound(ctx)
	defer cancel()
	ok, err := l.continues(ctx, head, of)
	if err != nil {
		return false, l.remote.explain(ctx, l.doing("reading the history of"), err)
	}
	l.kin = kinship{head, of, ok}
	return ok, nil
}

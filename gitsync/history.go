package gitsync

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/go-git/go-git/v5/plumbing"

	"certroll/gitsync/fault"
	"certroll/gitsync/objects"
	"certroll/gitsync/remote"
)

// Walk fetches the branch's whole history and visits its commits from the head to the root,
// along the first parents. visit gets each commit with all its parents and the tree of the
// ledger's directory. The newest commit comes first, because a pack stores older files as
// deltas of newer ones. With ObjectID of the directory entries, visit can skip unchanged
// files. A missing branch has no commits.
//
// Walk keeps the history in a temporary directory and removes it on return, so the trees
// are readable only during the walk.
func (l *Ledger) Walk(ctx context.Context, visit func(commit string, parents []string, tree fs.FS) error) error {
	if err := l.turn.Acquire(ctx, 1); err != nil {
		return l.remote.Explain(ctx, l.doing("reading the history of"), err)
	}
	defer l.turn.Release(1)
	ctx, cancel := l.remote.Bound(ctx)
	defer cancel()
	doing := l.doing("reading the history of")
	dir, err := objects.HistoryDir()
	if err != nil {
		return &fault.Error{Kind: fault.Failed, Doing: doing, Detail: fault.Reason(err), Advice: "name a directory with room in TMPDIR", Err: err}
	}
	defer func() { _ = os.RemoveAll(dir) }()
	past, head, err := l.history(ctx, dir, doing, 0)
	if err != nil {
		return l.remote.Explain(ctx, doing, err)
	}
	defer func() { _ = past.Close() }()
	for at := head; !at.IsZero(); {
		if err := ctx.Err(); err != nil {
			return l.remote.Explain(ctx, doing, err)
		}
		if at, err = l.visit(past, at, doing, visit); err != nil {
			return err
		}
	}
	return nil
}

// mostEarlier bounds the commits that Earlier fetches.
const mostEarlier = 1000

// Earlier visits the trees that the branch had before the head, the newest first, until
// visit returns false or mostEarlier commits are read. The trees are readable only until
// Earlier returns.
func (l *Ledger) Earlier(ctx context.Context, visit func(tree fs.FS) (more bool)) error {
	doing := l.doing("reading the history of")
	if err := l.turn.Acquire(ctx, 1); err != nil {
		return l.remote.Explain(ctx, doing, err)
	}
	defer l.turn.Release(1)
	ctx, cancel := l.remote.Bound(ctx)
	defer cancel()
	dir, err := objects.HistoryDir()
	if err != nil {
		return &fault.Error{Kind: fault.Failed, Doing: doing, Detail: fault.Reason(err), Advice: "name a directory with room in TMPDIR", Err: err}
	}
	defer func() { _ = os.RemoveAll(dir) }()
	past, at, err := l.history(ctx, dir, doing, mostEarlier)
	if err != nil {
		return l.remote.Explain(ctx, doing, err)
	}
	defer func() { _ = past.Close() }()
	more := true
	show := func(_ string, _ []string, tree fs.FS) error {
		more = visit(tree)
		return nil
	}
	skip := func(string, []string, fs.FS) error { return nil }
	for n := 0; more && !at.IsZero() && past.Has(at) && ctx.Err() == nil; n++ {
		// The first commit is the head, which the caller has.
		if n == 0 {
			at, err = l.visit(past, at, doing, skip)
		} else {
			at, err = l.visit(past, at, doing, show)
		}
		if err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return l.remote.Explain(ctx, doing, err)
	}
	return nil
}

// history fetches the branch into a store of its own, to a depth in commits; 0 is the whole
// history.
func (l *Ledger) history(ctx context.Context, dir, doing string, depth int) (*objects.Store, plumbing.Hash, error) {
	c, err := l.remote.List(ctx, doing)
	if err != nil {
		return nil, plumbing.ZeroHash, err
	}
	defer c.Close()
	past, err := objects.Open(dir, objects.HistoryPurpose, "", historyBounds, l.o.Log)
	if err != nil {
		return nil, plumbing.ZeroHash, err
	}
	head := c.Adv.References[l.ref.String()]
	if head.IsZero() {
		return past, head, nil
	}
	if _, err = c.Fetch(ctx, remote.Wish{Want: []plumbing.Hash{head}, Depth: depth, MaxBytes: maxLedgerPack}, past.DB); err != nil {
		return nil, plumbing.ZeroHash, errors.Join(err, past.Close())
	}
	return past, head, nil
}

// visit shows one commit and returns its first parent; zero for a root.
func (l *Ledger) visit(past *objects.Store, at plumbing.Hash, doing string, show func(string, []string, fs.FS) error) (plumbing.Hash, error) {
	unreadable := func(err error) error {
		return &fault.Error{Kind: fault.Failed, Doing: doing, Detail: err.Error(), Err: err,
			Advice: "the remote does not have the whole history: look there with git fsck; a shallow clone cannot be checked"}
	}
	c, err := past.Commit(at)
	if err != nil {
		return plumbing.ZeroHash, unreadable(err)
	}
	below, err := objects.Subtree(past.DB, c.TreeHash, l.o.Directory)
	if err != nil {
		return plumbing.ZeroHash, unreadable(err)
	}
	parents := make([]string, len(c.ParentHashes))
	for i, p := range c.ParentHashes {
		parents[i] = p.String()
	}
	err = show(at.String(), parents, objects.NewTreeFS(past.DB, below, c.Committer.When))
	switch {
	// visit reads files lazily, so a missing object of the remote's history shows up as
	// visit's error.
	case errors.Is(err, plumbing.ErrObjectNotFound):
		return plumbing.ZeroHash, unreadable(fmt.Errorf("commit %s: %w", at, err))
	case err != nil || len(parents) == 0:
		return plumbing.ZeroHash, err
	}
	return c.ParentHashes[0], nil
}

package gitsync

import (
	"context"

	"github.com/go-git/go-git/v5/plumbing"

	"certroll/gitsync/objects"
	"certroll/gitsync/packfile"
	"certroll/gitsync/remote"
)

// maxBetween bounds the fetch of the history between two commits, in bytes.
const maxBetween = 256 << 20

// betweenBounds are the bounds of that fetch. Only its commits are resolved.
var betweenBounds = packfile.Bounds{Pack: maxBetween, Objects: 1_000_000, Object: 512 << 20, Delta: packfile.MaxCommit, Total: 64 << 30, Lenient: true, CommitsOnly: true}

// ancestry is the answer to one question: does head descend from old?
type ancestry struct {
	head, old plumbing.Hash
	descends  bool
}

// connects fetches the history between a head and an earlier commit, and reports whether
// the head descends from that commit. The store need not have the commit's objects.
func connects(ctx context.Context, r *remote.Remote, doing string, head, seen plumbing.Hash, maxBytes int64) (bool, error) {
	c, err := r.List(ctx, doing)
	if err != nil {
		return false, err
	}
	defer c.Close()
	scratch, err := objects.Open("", "", "", betweenBounds, nil)
	if err != nil {
		return false, err
	}
	scratch = scratch.OnDisk(betweenBounds)
	defer func() { _ = scratch.Close() }()
	// "have" and "shallow" for the same commit make the server send the history down to it
	// only.
	one := []plumbing.Hash{seen}
	_, err = c.Fetch(ctx, remote.Wish{Want: []plumbing.Hash{head}, Have: one, Shallow: one, MaxBytes: maxBytes}, scratch.DB)
	return err == nil && scratch.Descends(head, seen, plumbing.ZeroHash), err
}

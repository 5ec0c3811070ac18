package gitsync

import (
	"context"

	"github.com/go-git/go-git/v5/plumbing"

	"certroll/gitsync/objects"
	"certroll/gitsync/packfile"
	"certroll/gitsync/remote"
)

// maxBetween bounds what is fetched to see whether a head descends from a
// commit: all that lies between the two.
const maxBetween = 256 << 20

// betweenBounds are those of such a fetch, of which commits alone are looked at.
var betweenBounds = packfile.Bounds{Pack: maxBetween, Objects: 1_000_000, Object: 512 << 20, Delta: packfile.MaxCommit, Total: 64 << 30, Lenient: true, CommitsOnly: true}

// ancestry says whether a head descends from an earlier commit.
type ancestry struct {
	head, old plumbing.Hash
	descends  bool
}

// connects fetches the history between a head and a commit seen earlier, whose
// objects need not be here, to see whether the two connect.
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
	one := []plumbing.Hash{seen}
	_, err = c.Fetch(ctx, remote.Wish{Want: []plumbing.Hash{head}, Have: one, Shallow: one, MaxBytes: maxBytes}, scratch.DB)
	return err == nil && scratch.Descends(head, seen, plumbing.ZeroHash), err
}

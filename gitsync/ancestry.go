package gitsync

import (
	"context"

	"github.com/go-git/go-git/v5/plumbing"
)

// maxBetween bounds what is fetched to see whether a head descends from a
// commit: all that lies between the two.
const maxBetween = 256 << 20

// betweenBounds are those of such a fetch, of which commits alone are looked at.
var betweenBounds = bounds{pack: maxBetween, objects: 1_000_000, object: 512 << 20, delta: maxCommit, total: 64 << 30, lenient: true, commits: true}

// ancestry says whether a head descends from an earlier commit.
type ancestry struct {
	head, old plumbing.Hash
	descends  bool
}

// connects fetches the history between a head and a commit seen earlier, whose
// objects need not be here, to see whether the two connect.
func connects(ctx context.Context, r *remote, doing string, head, seen plumbing.Hash, maxBytes int64) (bool, error) {
	c, err := r.list(ctx, doing)
	if err != nil {
		return false, err
	}
	defer c.close()
	scratch, err := openStore("", "", "", betweenBounds, nil)
	if err != nil {
		return false, err
	}
	scratch = scratch.onDisk(betweenBounds)
	defer func() { _ = scratch.Close() }()
	one := []plumbing.Hash{seen}
	_, err = c.fetch(ctx, wish{want: []plumbing.Hash{head}, have: one, shallow: one, maxBytes: maxBytes}, scratch.objects)
	return err == nil && scratch.descends(head, seen, plumbing.ZeroHash), err
}

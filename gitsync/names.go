package gitsync

import (
	"context"
	"maps"
	"slices"
	"strings"

	"certroll/gitsync/fault"
	"certroll/gitsync/objects"
)

// Names returns the branches and tags that Base accepts, in short form: those of the
// checkout and those of its remotes.
func (c *Checkout) Names() ([]string, error) {
	all, err := localRefs(c.repo)
	if err != nil {
		return nil, &fault.Error{Kind: fault.Failed, Doing: c.doing, Detail: err.Error(), Err: err}
	}
	return shortNames(slices.Collect(maps.Keys(all.byName))), nil
}

// Names returns the remote's branches and tags, in the form of SourceOptions.Ref.
func (s *Source) Names(ctx context.Context) ([]string, error) {
	if err := s.turn.Acquire(ctx, 1); err != nil {
		return nil, s.remote.Explain(ctx, s.doing(), err)
	}
	defer s.turn.Release(1)
	if s.remote.Location.IsLocal() {
		repo, _, err := objects.OpenLocal(ctx, s.remote.Location.Path, false, localBounds())
		if err != nil {
			return nil, s.remote.Explain(ctx, s.doing(), err)
		}
		return (&Checkout{repo: repo, doing: s.doing()}).Names()
	}
	c, err := s.remote.List(ctx, s.doing())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return shortNames(slices.Collect(maps.Keys(c.Adv.References))), nil
}

// shortNames returns the short names of branches and tags, sorted. It leaves out all other
// refs.
func shortNames(refs []string) []string {
	var names []string
	for _, ref := range refs {
		for _, kind := range []string{"refs/heads/", "refs/remotes/", "refs/tags/"} {
			if name, ok := strings.CutPrefix(ref, kind); ok && !strings.HasSuffix(name, "/HEAD") {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

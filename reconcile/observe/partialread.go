package observe

import (
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"certroll/reconcile/failure"
)

// partialRead is one look at many places of Vault, side by side.
type partialRead struct {
	group   *errgroup.Group
	anew    func(certificate string) bool // what was seen before does not stand
	lenient bool                          // a place that alone cannot be read is none

	mu         sync.Mutex        // held while anything below, or what is seen, is written
	unreadable map[string]string // by certificate, why
	dark       error             // one of those of a place
}

// see notes what is at a place: what was seen before, where that stands for all
// the certificates that it matters to, else what is there now.
func see[K comparable, V any](s *partialRead, seen, before map[K]V, at K, owners []string, read func() (v V, there bool, err error)) {
	if v, ok := before[at]; ok && !slices.ContainsFunc(owners, s.anew) {
		s.mu.Lock()
		defer s.mu.Unlock()
		seen[at] = v
		return
	}
	s.group.Go(func() error {
		v, there, err := read()
		s.mu.Lock()
		defer s.mu.Unlock()
		if err != nil {
			return s.obscure(err, owners)
		}
		if there {
			seen[at] = v
		}
		return nil
	})
}

// obscure notes why a place cannot be read, as far as that is about it alone.
func (s *partialRead) obscure(err error, owners []string) error {
	if !s.lenient || !failure.IsOfPlace(err) {
		return err
	}
	s.dark = err
	for _, name := range owners {
		s.unreadable[name] = failure.Message(err)
	}
	return nil
}

package observe

import (
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"certroll/reconcile/failure"
)

// partialRead is one concurrent read of many Vault paths.
type partialRead struct {
	group   *errgroup.Group
	anew    func(certificate string) bool // the previous observation of the certificate is outdated
	lenient bool                          // an error about one path affects only its certificates

	mu         sync.Mutex        // guards the fields below and the maps of results
	unreadable map[string]string // error message, by certificate
	dark       error             // one of the errors about a single path
}

// see stores the value at a key: the previous one if it is current for all certificates
// that use it, or else the result of read.
func see[K comparable, V any](s *partialRead, seen, before map[K]V, at K, owners []string, read func() (v V, there bool, err error)) {
	if v, ok := before[at]; ok && !slices.ContainsFunc(owners, s.anew) {
		s.mu.Lock()
		defer s.mu.Unlock()
		seen[at] = v
		return
	}
	// The read runs without the lock, so that many requests run at once.
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

// obscure marks the certificates of an unreadable path. It returns err if the error may
// concern more than that path.
func (s *partialRead) obscure(err error, owners []string) error {
	// An error such as a sealed Vault concerns all paths and ends the whole read.
	if !s.lenient || !failure.IsOfPlace(err) {
		return err
	}
	s.dark = err
	for _, name := range owners {
		s.unreadable[name] = failure.Message(err)
	}
	return nil
}

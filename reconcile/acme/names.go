package acme

import (
	"context"
	"strings"
	"sync"
	"time"
)

// names keeps the record names that challenges are answered at.
//
// Several challenges may share one: a name and its wildcard, and all names
// whose CNAMEs lead to the same place, in orders that know nothing of each
// other. Two things go wrong then.
//
//   - A provider that replaces the record set at each write (lego's rfc2136,
//     and those that can hold one value only) takes the other's answer away.
//     For these a name is locked from the record's writing to its removal.
//   - Resolvers of the CA keep what they saw for the record's TTL, a minute at
//     most at Let's Encrypt (boulder#3405, boulder#5820). An answer written
//     after the CA has looked at the name must wait until that has passed,
//     or the CA sees the earlier one and the order is lost.
//
// The second is why lego waits a fixed minute between any two names of such a
// provider. Here only the same name waits, and only for the TTL that is seen.
type names struct {
	now    func() time.Time
	mu     sync.Mutex
	locks  map[string]*nameLock
	quiets map[string]time.Time
}

type nameLock struct {
	gate  chan struct{}
	users int // holders and waiters; at zero the lock is forgotten
}

func newNames(now func() time.Time) *names {
	return &names{now: now, locks: map[string]*nameLock{}, quiets: map[string]time.Time{}}
}

// lock waits until the name is free; the function returned frees it.
func (n *names) lock(ctx context.Context, name string) (func(), error) {
	name = strings.ToLower(name)
	n.mu.Lock()
	l := n.locks[name]
	if l == nil {
		l = &nameLock{gate: make(chan struct{}, 1)}
		n.locks[name] = l
	}
	l.users++
	n.mu.Unlock()
	select {
	case l.gate <- struct{}{}:
		return func() { <-l.gate; n.leave(name, l) }, nil
	case <-ctx.Done():
		n.leave(name, l)
		return nil, ctx.Err()
	}
}

func (n *names) leave(name string, l *nameLock) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if l.users--; l.users == 0 {
		delete(n.locks, name)
	}
}

// lookedAt notes that the CA looks at the name now, or has just done so, and
// that its resolvers may keep what they saw for ttl.
func (n *names) lookedAt(name string, ttl time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.now()
	for k, until := range n.quiets {
		if until.Before(now) {
			delete(n.quiets, k)
		}
	}
	if ttl > 0 {
		n.quiets[strings.ToLower(name)] = now.Add(ttl)
	}
}

// quiet is how long the CA may still see an earlier answer at the name.
func (n *names) quiet(name string) time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.quiets[strings.ToLower(name)].Sub(n.now())
}

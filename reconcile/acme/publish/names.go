package publish

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"certroll/reconcile/keylock"
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
	locks  keylock.Locks
	quiets map[string]time.Time
	values map[string][]string // that this process wrote, or knows to be an earlier one's
}

func newNames(now func() time.Time) *names {
	return &names{now: now, quiets: map[string]time.Time{}, values: map[string][]string{}}
}

// lock waits until the name is free; the function returned frees it.
func (n *names) lock(ctx context.Context, name string) (func(), error) {
	return n.locks.Take(ctx, strings.ToLower(name), nil)
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

// mostValues is how many values are remembered for one name, the newest: what is
// older was removed, or replaced.
const mostValues = 64

// wrote notes that a TXT record at the name is certroll's own.
func (n *names) wrote(name, value string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	name = strings.ToLower(name)
	if known := n.values[name]; !slices.Contains(known, value) {
		n.values[name] = append(known[max(0, len(known)-mostValues+1):], value)
	}
}

// knows reports whether a TXT record at the name is known as certroll's own.
func (n *names) knows(name, value string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Contains(n.values[strings.ToLower(name)], value)
}

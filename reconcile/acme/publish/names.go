package publish

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"certroll/reconcile/keylock"
)

// names coordinates the record names of challenges within this process.
//
// Several challenges may share a record name: a name and its wildcard, and all names
// whose CNAMEs lead to the same target, even in different orders. Two things can go
// wrong:
//
//   - A provider that replaces the record set with each write (lego's rfc2136 with a
//     GSS-TSIG key, and those that hold one value) removes the other's answer. For
//     these, a name is locked from the record's writing to its removal.
//   - The CA's resolvers cache an answer for the record's TTL, at Let's Encrypt for a
//     minute at most (boulder#3405, boulder#5820). A later answer at the same name
//     must wait until that time has passed. Otherwise the CA sees the earlier answer
//     and the order is lost.
//
// Because of the second, lego waits a fixed minute between any two names of such a
// provider. certroll delays only the same name, and only for the TTL that it saw.
type names struct {
	now    func() time.Time
	mu     sync.Mutex
	locks  keylock.Turns // by record name, or by account
	quiets map[string]time.Time
	values map[string][]string // written by this process, or known from an earlier one
}

func newNames(now func() time.Time) *names {
	return &names{now: now, quiets: map[string]time.Time{}, values: map[string][]string{}}
}

// lock waits until the name is free; the returned function frees it. It calls waiting, if
// not nil, when a publication of another order has the name.
func (n *names) lock(ctx context.Context, name, order string, waiting func()) (func(), error) {
	return n.locks.Take(ctx, strings.ToLower(name), order, waiting)
}

// lookedAt records that the CA queries the name now, or has just done so, and that its
// resolvers may cache the answer for ttl.
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

// quiet returns the time for which the CA may still see an earlier answer at the name.
func (n *names) quiet(name string) time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.quiets[strings.ToLower(name)].Sub(n.now())
}

// mostValues bounds the values remembered for one name. Older ones were removed or
// replaced.
const mostValues = 64

// wrote records a value at the name as certroll's own.
func (n *names) wrote(name, value string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	name = strings.ToLower(name)
	if known := n.values[name]; !slices.Contains(known, value) {
		n.values[name] = append(known[max(0, len(known)-mostValues+1):], value)
	}
}

// knows reports whether a value at the name is certroll's own.
func (n *names) knows(name, value string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Contains(n.values[strings.ToLower(name)], value)
}

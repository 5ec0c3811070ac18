// Package keylock is a lock for each key of a set that is not known before:
// who works on the same thing goes one after another, and nobody else waits.
// It owns the locks alone; how long to wait for one is its caller's.
package keylock

import (
	"context"
	"sync"
)

// Locks are the locks; the zero value is ready.
type Locks struct {
	mu   sync.Mutex
	keys map[string]*lock
}

type lock struct {
	taken chan struct{} // one element while somebody has it
	users int           // has it or waits for it; at zero the lock is forgotten
}

// Take waits until the key is free or ctx ends; its error is ctx's then. waiting
// is called once where somebody else has it; nil: nothing is. The function
// returned gives the key back, and is to be called once.
func (l *Locks) Take(ctx context.Context, key string, waiting func()) (func(), error) {
	k := l.enter(key)
	give := func() { <-k.taken; l.leave(key, k) }
	select {
	case k.taken <- struct{}{}:
		return give, nil
	default:
		if waiting != nil {
			waiting()
		}
	}
	select {
	case k.taken <- struct{}{}:
		return give, nil
	case <-ctx.Done():
		l.leave(key, k)
		return nil, ctx.Err()
	}
}

func (l *Locks) enter(key string) *lock {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.keys == nil {
		l.keys = map[string]*lock{}
	}
	k := l.keys[key]
	if k == nil {
		k = &lock{taken: make(chan struct{}, 1)}
		l.keys[key] = k
	}
	k.users++
	return k
}

func (l *Locks) leave(key string, k *lock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k.users--; k.users == 0 {
		delete(l.keys, key)
	}
}

// Len is how many keys are taken or waited for.
func (l *Locks) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.keys)
}

// Package keylock provides a lock for each key of an open set. Work on the same key runs
// one after another; work on other keys does not wait. The caller's context limits the
// wait.
package keylock

import (
	"context"
	"sync"
)

// Locks is a set of locks by key. The zero value is ready for use.
type Locks struct {
	mu   sync.Mutex
	keys map[string]*lock
}

type lock struct {
	taken chan struct{} // contains one element while the lock is held
	users int           // holders and waiters; at zero the lock is deleted, so that the map does not grow
}

// Take waits until the key is free, or returns ctx's error. If another caller holds the
// key, Take calls waiting once, if it is not nil. Call the returned function exactly once
// to release the key.
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

// Len returns the number of keys that are held or waited for.
func (l *Locks) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.keys)
}

// Turns is a set of locks by key for tasks that belong to owners, such as the names of an
// order. The tasks of one owner wait for each other too, but only the first of them waits
// for other owners. The zero value is ready for use.
type Turns struct{ within, among Locks }

// Take is Locks.Take for a task of owner. It calls waiting only if another owner holds the
// key, not for another task of the same owner.
func (t *Turns) Take(ctx context.Context, key, owner string, waiting func()) (func(), error) {
	leave, err := t.within.Take(ctx, owner+"\x00"+key, nil)
	if err != nil {
		return nil, err
	}
	give, err := t.among.Take(ctx, key, waiting)
	if err != nil {
		leave()
		return nil, err
	}
	return func() { give(); leave() }, nil
}

// Len returns the number of keys that are held or waited for.
func (t *Turns) Len() int { return t.among.Len() + t.within.Len() }

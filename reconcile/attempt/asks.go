package attempt

import (
	"fmt"
	"maps"
	"sync"
	"time"

	"certroll/reconcile/recorder"
)

// DailyMoment is the name under which it is kept when the daily work is due.
const DailyMoment = "daily"

// Moments keeps, over a restart, from when on something may be done again: by
// a certificate's ARI identifier asking the CA about it, by a directory's URL
// asking a CA that offered no renewal information.
type Moments interface {
	Load() (map[string]time.Time, error)
	Save(map[string]time.Time) error
}

// Asks knows when each certificate may be asked about again, and when the daily
// work is due.
type Asks struct {
	mu    sync.Mutex
	Store Moments // nil: nothing is kept
	next  map[string]time.Time
}

func (k *Asks) Load() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.next != nil {
		return nil
	}
	k.next = map[string]time.Time{}
	if k.Store == nil {
		return nil
	}
	kept, err := k.Store.Load()
	if err != nil {
		return fmt.Errorf("reading when the CAs may be asked for renewal information again: %w", err)
	}
	maps.Copy(k.next, kept)
	return nil
}

// Keep stores the moments of the certificates that there are.
func (k *Asks) Keep(there map[string]bool) error {
	k.mu.Lock()
	maps.DeleteFunc(k.next, func(id string, _ time.Time) bool {
		return !there[id] && id != DailyMoment && id != recorder.LedgerMoment
	})
	k.mu.Unlock()
	return k.Save()
}

func (k *Asks) Save() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.Store == nil {
		return nil
	}
	if err := k.Store.Save(k.next); err != nil {
		return fmt.Errorf("keeping when the CAs may be asked for renewal information again: %w", err)
	}
	return nil
}

func (k *Asks) At(id string) time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.next[id]
}

// AskDue tells whether it is time to ask. A moment further ahead than any that
// is set was set by a clock that was wrong.
func (k *Asks) AskDue(id string, now time.Time) bool {
	at := k.At(id)
	return !at.After(now) || at.After(now.Add(MostAsk))
}

func (k *Asks) Set(id string, at time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.next == nil {
		k.next = map[string]time.Time{}
	}
	k.next[id] = at
}

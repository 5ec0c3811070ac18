package attempt

import (
	"fmt"
	"maps"
	"sync"
	"time"

	"certroll/reconcile/recorder"
)

// DailyMoment is the key under which Moments stores the time of the next daily work.
const DailyMoment = "daily"

// Moments persists, across restarts, the earliest time of the next query. Its keys are
// the ARI identifier of a certificate (RFC 9773 section 4.1), for its renewal
// information, and the directory URL of a CA that offers no renewal information.
type Moments interface {
	// Load returns the times saved last; none saved is no error.
	Load() (map[string]time.Time, error)
	// Save replaces the saved times.
	Save(map[string]time.Time) error
}

// Asks holds when certroll may next ask for each certificate's renewal information, and
// when the daily work is due.
type Asks struct {
	mu    sync.Mutex
	Store Moments // nil: times are kept in memory only
	next  map[string]time.Time
}

// Load reads the stored times once; later calls do nothing.
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
	stored, err := k.Store.Load()
	if err != nil {
		return fmt.Errorf("reading when the CAs may be asked for renewal information again: %w", err)
	}
	maps.Copy(k.next, stored)
	return nil
}

// Keep drops the times of certificates that no longer exist, and stores the others.
func (k *Asks) Keep(there map[string]bool) error {
	k.mu.Lock()
	maps.DeleteFunc(k.next, func(id string, _ time.Time) bool {
		return !there[id] && id != DailyMoment && id != recorder.LedgerMoment
	})
	k.mu.Unlock()
	return k.Save()
}

// Save writes the times to the store.
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

// At returns the earliest time of the next query for id; zero if none is known.
func (k *Asks) At(id string) time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.next[id]
}

// AskDue reports whether a query for id is due. certroll never sets a time more than
// MostAsk ahead, so a later one comes from a wrong clock and is ignored.
func (k *Asks) AskDue(id string, now time.Time) bool {
	at := k.At(id)
	return !at.After(now) || at.After(now.Add(MostAsk))
}

// Set sets the earliest time of the next query for id.
func (k *Asks) Set(id string, at time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.next == nil {
		k.next = map[string]time.Time{}
	}
	k.next[id] = at
}

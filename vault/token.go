package vault

import (
	"encoding/json"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"
)

// tokenLease is the remaining life of the token unless it is renewed.
type tokenLease struct {
	mu       sync.Mutex
	until    time.Time
	lifetime time.Duration // at login or the last renewal
}

// get returns when the token expires, and its lifetime at login or the last renewal.
func (l *tokenLease) get() (until time.Time, lifetime time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.until, l.lifetime
}

// lasts stores the lifetime of a token that was issued or renewed now.
func (l *tokenLease) lasts(a *api.SecretAuth) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a == nil || a.LeaseDuration == 0 {
		l.until, l.lifetime = time.Time{}, 0
		return
	}
	l.lifetime = time.Duration(a.LeaseDuration) * time.Second
	l.until = time.Now().Add(l.lifetime)
}

// found stores the lifetime of a given token, from its lookup. ttl is the remaining time.
func (l *tokenLease) found(self *api.Secret, ttl time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until, l.lifetime = time.Now().Add(ttl), ttl
	if n, ok := self.Data["creation_ttl"].(json.Number); ok {
		if seconds, err := n.Int64(); err == nil {
			l.lifetime = max(ttl, time.Duration(seconds)*time.Second)
		}
	}
}

package vault

import (
	"encoding/json"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"
)

// tokenLease is how long the token lives unless it is renewed.
type tokenLease struct {
	mu       sync.Mutex
	until    time.Time
	lifetime time.Duration // that it had when it was handed out or renewed last
}

// get is when the token ends, and how long it lived in all from when it was handed
// out or renewed last.
func (l *tokenLease) get() (until time.Time, lifetime time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.until, l.lifetime
}

// lasts notes how long a token lives that was handed out or renewed now.
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

// found notes how long a token lives that was given and looked up.
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

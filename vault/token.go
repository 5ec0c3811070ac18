package vault

import (
	"encoding/json"
	"time"

	"github.com/hashicorp/vault/api"
)

// tokenLease is how long the token lives unless it is renewed.
type tokenLease struct {
	until    time.Time
	lifetime time.Duration // that it had when it was handed out or renewed last
}

// TokenLease is when the token ends unless it is renewed before, and how long
// it lived in all from when it was handed out or renewed last. The time is zero
// where the token has no end, or where it is not known yet.
func (c *Client) TokenLease() (until time.Time, lifetime time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lease.until, c.lease.lifetime
}

// lasts notes how long a token lives that was handed out or renewed now.
func (c *Client) lasts(a *api.SecretAuth) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a == nil || a.LeaseDuration == 0 {
		c.lease = tokenLease{}
		return
	}
	lifetime := time.Duration(a.LeaseDuration) * time.Second
	c.lease = tokenLease{time.Now().Add(lifetime), lifetime}
}

// found notes how long a token lives that was given and looked up.
func (c *Client) found(self *api.Secret, ttl time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lease = tokenLease{time.Now().Add(ttl), ttl}
	if n, ok := self.Data["creation_ttl"].(json.Number); ok {
		if seconds, err := n.Int64(); err == nil {
			c.lease.lifetime = max(ttl, time.Duration(seconds)*time.Second)
		}
	}
}

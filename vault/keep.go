package vault

import (
	"context"
	"errors"
	"time"

	"github.com/hashicorp/vault/api"

	"certroll/spec/await"
)

// The first and the longest wait between logins that fail.
const (
	firstRelogin = time.Second
	mostRelogin  = time.Minute
)

// Keep keeps the login alive until ctx ends. It renews the token as long as Vault allows,
// then logs in again. It logs and retries errors.
func (c *Client) Keep(ctx context.Context) {
	wait := firstRelogin
	for {
		before := c.loggedIn()
		ended, err := c.keepOnce(ctx)
		if ctx.Err() != nil {
			return
		}
		switch {
		case err == nil && ended && c.loggedIn() != before: // a call has logged in already
			wait = firstRelogin
			continue
		case err == nil && ended:
			if err = c.loginAgain(ctx); err == nil {
				wait = firstRelogin
				continue
			}
		case c.deaths.known(err): // a given token is dead: its source may have another by now
			err = errors.Join(err, c.loginAgain(ctx))
		}
		c.log.Error("could not renew the Vault token or log in again; will retry", "error", err)
		if await.Sleep(ctx, wait) != nil {
			return
		}
		wait = min(2*wait, mostRelogin)
	}
}

// loggedIn returns the number of logins.
func (c *Client) loggedIn() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.logins
}

// errRevoked is the logged reason if a call found the token dead before its time.
var errRevoked = errors.New("Vault does not know it any more: it was revoked before its time, or Vault was set back")

// loginAgain logs in and then drops reports about the old token. It waits a moment before
// that, for calls that are still under way with the old token, and so that a Vault that
// rejects its own new token is not asked without pause.
func (c *Client) loginAgain(ctx context.Context) error {
	err := c.Login(ctx)
	_ = await.Sleep(ctx, firstRelogin) // the reports are dropped at once if ctx ends
	select {
	case <-c.dead:
	default:
	}
	return err
}

// keepOnce renews the token until it ends.
func (c *Client) keepOnce(ctx context.Context) (ended bool, err error) {
	secret, err := c.leased(ctx)
	if err != nil {
		return false, err
	}
	if secret == nil { // the token does not expire
		select {
		case <-ctx.Done():
		case <-c.dead:
			c.log.Info("the Vault token expired, was revoked or cannot be renewed; logging in again", "error", errRevoked)
		}
		return true, nil
	}
	w, err := c.api.NewLifetimeWatcher(&api.LifetimeWatcherInput{Secret: secret})
	if err != nil {
		return false, configError("renewing the Vault token", err)
	}
	go w.Start()
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return true, nil
		case <-c.dead:
			c.log.Info("the Vault token expired, was revoked or cannot be renewed; logging in again", "error", errRevoked)
			return true, nil
		case renewed := <-w.RenewCh():
			c.lease.lasts(renewed.Secret.Auth)
		case err := <-w.DoneCh():
			// The watcher sends nil if the token has reached its maximum TTL.
			if err != nil {
				c.log.Info("the Vault token expired, was revoked or cannot be renewed; logging in again", "error", err)
			}
			return true, nil
		}
	}
}

// leased returns the secret to renew; nil if the token does not expire. A given token is
// looked up for its TTL.
func (c *Client) leased(ctx context.Context) (*api.Secret, error) {
	c.mu.Lock()
	secret := c.secret
	c.mu.Unlock()
	if secret != nil {
		return secret, nil
	}
	self, err := c.api.Auth().Token().LookupSelfWithContext(ctx)
	if err != nil {
		return nil, c.explain(err, "looking up the Vault token", "auth/token/lookup-self", "read")
	}
	ttl, err := self.TokenTTL()
	if err != nil || ttl == 0 {
		return nil, err
	}
	c.lease.found(self, ttl)
	renewable, err := self.TokenIsRenewable()
	if err != nil {
		return nil, err
	}
	return &api.Secret{Auth: &api.SecretAuth{ClientToken: c.api.Token(), Renewable: renewable, LeaseDuration: int(ttl.Seconds())}}, nil
}

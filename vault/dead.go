package vault

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/vault/api"
)

// deaths finds out whether a token is dead. Vault says so. OpenBao, and older
// Vaults, answer a dead token as they answer one that may not do this, so that
// the token is asked about itself: the policy "default" lets each one do so.
type deaths struct {
	api   *api.Client
	log   *slog.Logger
	given bool                            // the token was given (VAULT_TOKEN), and has no other
	login func(ctx context.Context) error // gives the api another token

	mu sync.Mutex
	// alive is the token that could look itself up last, and when that was.
	alive   string
	aliveAt time.Time
	// dead is the token that could not. It is read while mu is held, too.
	dead atomic.Value
	// blind is a token that could not look itself up though it was new: its
	// policies do not let it, and its refusals say nothing of its life.
	blind    string
	tells    *bool     // whether the server calls a token invalid; nil: not known yet
	loggedIn time.Time // when a call logged in last
}

const (
	aliveFor  = 10 * time.Second // for that long nobody asks again
	loginTurn = 5 * time.Second  // between two logins of calls
)

// saysDead tells whether Vault calls the token one that it does not know.
func saysDead(refusal []byte) bool {
	return bytes.Contains(refusal, []byte("invalid token")) || bytes.Contains(refusal, []byte("bad token"))
}

// isDead tells whether the token of a refused call is dead. It must be called with
// deaths.mu held.
func (d *deaths) isDead(ctx context.Context, token string, refusal []byte) bool {
	switch {
	case saysDead(refusal):
		return true
	case token != "" && d.dead.Load() == token:
		return true
	case token == d.blind, token == d.alive && time.Since(d.aliveAt) < aliveFor:
		return false
	}
	_, err := d.api.Auth().Token().LookupSelfWithContext(ctx)
	switch {
	case err == nil:
		d.alive, d.aliveAt = token, time.Now()
		return false
	case statusOf(err) != http.StatusForbidden:
		return false // that is not known
	case d.tellsDead(ctx):
		d.blind = token // it would have been called invalid: its policies do not let it
		return false
	}
	d.dead.Store(token)
	return true
}

// noToken is no token of anybody.
const noToken = "certroll-asks-how-an-unknown-token-is-refused"

// tellsDead tells whether this server says of a token that it does not know it. It
// is asked once, with such a token. It must be called with deaths.mu held.
func (d *deaths) tellsDead(ctx context.Context) bool {
	if d.tells == nil {
		stranger, err := d.api.CloneWithHeaders()
		if err != nil {
			return false
		}
		stranger.SetToken(noToken)
		_, err = stranger.Auth().Token().LookupSelfWithContext(ctx)
		if statusOf(err) != http.StatusForbidden {
			return false // that is not known
		}
		tells := saysDead([]byte(err.Error()))
		d.tells = &tells
	}
	return *d.tells
}

// anotherToken gives a call that was refused a token to go on with: one that
// somebody logged in for meanwhile, or that of a new login where the old token is
// dead. A token that was given (VAULT_TOKEN) has no other.
func (d *deaths) anotherToken(ctx context.Context, refused string, refusal []byte) (string, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now := d.api.Token(); now != refused {
		return now, now != ""
	}
	if !d.isDead(ctx, refused, refusal) {
		return "", false
	}
	d.dead.Store(refused)
	if d.given || time.Since(d.loggedIn) < loginTurn {
		return "", false
	}
	d.loggedIn = time.Now()
	if err := d.login(ctx); err != nil {
		d.log.Error("could not log in to Vault again", "error", err)
		return "", false
	}
	now := d.api.Token()
	if now == refused {
		return "", false // the file still holds the old one
	}
	if _, err := d.api.Auth().Token().LookupSelfWithContext(ctx); statusOf(err) == http.StatusForbidden {
		d.blind = now
	}
	d.log.Info("Vault rejected the token; logged in again")
	return now, true
}

// known tells whether a call failed since its token is dead.
func (d *deaths) known(err error) bool {
	if deadToken(err) {
		return true
	}
	if statusOf(err) != http.StatusForbidden {
		return false
	}
	token := d.api.Token()
	return token != "" && d.dead.Load() == token
}

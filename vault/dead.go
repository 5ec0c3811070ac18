package vault

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/hashicorp/vault/api"
	"golang.org/x/sync/semaphore"
)

// deaths finds out whether a token is dead. Vault's answer says so. OpenBao and older
// Vaults give a dead token the same answer as a valid one without the capability
// ("permission denied"). For those, the token looks itself up, which the policy "default"
// always allows.
type deaths struct {
	api   *api.Client
	log   *slog.Logger
	given bool                            // the token came from VAULT_TOKEN or ~/.vault-token, so that there is no other
	login func(ctx context.Context) error // obtains another token for api

	turn *semaphore.Weighted // guards what follows; it is held while Vault is asked
	// alive is the last token that could look itself up, at aliveAt.
	alive   string
	aliveAt time.Time
	// dead is the token that could not. It may be read without the turn.
	dead atomic.Value
	// blind is a token that could not look itself up although it was new: its policies
	// forbid it, so that its rejections prove nothing.
	blind    string
	tells    *bool     // whether the server calls a dead token invalid; nil: not known yet
	loggedIn time.Time // last login caused by a call
}

const (
	aliveFor  = 10 * time.Second // how long a successful lookup counts
	loginTurn = 5 * time.Second  // shortest time between two logins caused by calls
)

// saysDead reports whether a rejection says that Vault does not know the token.
func saysDead(refusal []byte) bool {
	return bytes.Contains(refusal, []byte("invalid token")) || bytes.Contains(refusal, []byte("bad token"))
}

// isDead reports whether the token of a rejected call is dead. The caller has the turn.
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
		return false // unknown: the lookup itself failed
	case d.tellsDead(ctx):
		d.blind = token // the server would have said "invalid token": the policies forbid the lookup
		return false
	}
	d.dead.Store(token)
	return true
}

// noToken is a token that no server knows.
const noToken = "certroll-asks-how-an-unknown-token-is-refused"

// tellsDead reports whether this server calls an unknown token invalid. It asks the
// server once, with such a token. The caller has the turn.
func (d *deaths) tellsDead(ctx context.Context) bool {
	if d.tells == nil {
		stranger, err := d.api.CloneWithHeaders()
		if err != nil {
			return false
		}
		stranger.SetToken(noToken)
		_, err = stranger.Auth().Token().LookupSelfWithContext(ctx)
		if statusOf(err) != http.StatusForbidden {
			return false // unknown: the question itself failed
		}
		tells := saysDead([]byte(err.Error()))
		d.tells = &tells
	}
	return *d.tells
}

// anotherToken returns a token for repeating a rejected call: one from a login that
// happened meanwhile, or from a new login if the old token is dead. A given token
// (VAULT_TOKEN) has no replacement.
func (d *deaths) anotherToken(ctx context.Context, refused string, refusal []byte) (string, bool) {
	if err := d.turn.Acquire(ctx, 1); err != nil {
		return "", false
	}
	defer d.turn.Release(1)
	// Another call has logged in meanwhile.
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
	// Set before the login: a failing login must not be repeated by every rejected call.
	d.loggedIn = time.Now()
	if err := d.login(ctx); err != nil {
		d.log.Error("could not log in to Vault again", "error", err)
		return "", false
	}
	now := d.api.Token()
	if now == refused {
		return "", false // the file still has the old token
	}
	if _, err := d.api.Auth().Token().LookupSelfWithContext(ctx); statusOf(err) == http.StatusForbidden {
		d.blind = now
	}
	d.log.Info("Vault rejected the token; logged in again")
	return now, true
}

// known reports whether a call failed because its token is dead.
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

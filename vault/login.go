package vault

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/vault/api"

	"certroll/spec/bounded"
	"certroll/spec/credential"
)

// Login logs in. With a given token it only checks that there is one.
func (c *Client) Login(ctx context.Context) error {
	err := c.login(ctx)
	if err == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.logins++
	}
	return err
}

// login logs in without counting the login.
func (c *Client) login(ctx context.Context) error {
	a := c.opts.Auth
	switch a.Method {
	case "", "token":
		return c.useGivenToken()
	case "token-file":
		return c.useTokenFile(a.TokenFile)
	}
	method, err := a.method()
	if err != nil {
		return configError("setting up the login to Vault", err)
	}
	secret, err := c.api.Auth().Login(ctx, method)
	if err != nil {
		return c.refusedLogin(err, method)
	}
	if secret == nil || secret.Auth == nil {
		return &Error{doing: a.loggingIn(), said: "Vault answered without a token", advice: "see the auth mount's settings"}
	}
	c.lease.lasts(secret.Auth)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.secret = secret
	return nil
}

// useGivenToken uses VAULT_TOKEN, or the token that `vault login` saved.
func (c *Client) useGivenToken() error {
	token := os.Getenv("VAULT_TOKEN")
	if token == "" {
		home, err := os.UserHomeDir()
		if err == nil {
			b, readErr := bounded.File(filepath.Join(home, ".vault-token"), bounded.Secret)
			if err = readErr; err == nil {
				token = strings.TrimSpace(string(b))
			}
		}
	}
	if token == "" {
		return &Error{doing: "logging in to Vault at " + c.api.Address(), said: "there is no token",
			advice: "set VAULT_TOKEN, run `vault login`, or set an auth block in certroll.hcl"}
	}
	if err := credential.Check("the environment variable VAULT_TOKEN", token, credential.Token); err != nil && os.Getenv("VAULT_TOKEN") != "" {
		return configError("reading the Vault token", err)
	}
	c.api.SetToken(token)
	return nil
}

// useTokenFile uses the token in a file.
func (c *Client) useTokenFile(path string) error {
	token, err := readSecretFile(path)
	if err != nil {
		return configError("reading the Vault token file", err)
	}
	c.api.SetToken(token)
	return nil
}

// refusedLogin explains why a login failed, with a next step.
func (c *Client) refusedLogin(err error, method api.AuthMethod) error {
	a := c.opts.Auth
	e := c.explained(err, a.loggingIn())
	status := statusOf(err)
	if e.advice != "" || status != http.StatusForbidden && status != http.StatusBadRequest {
		return e
	}
	// Vault's methods jwt and kubernetes say this about an unknown role.
	if strings.Contains(e.said, "could not be found") || strings.Contains(e.said, "invalid role name") {
		e.advice = "see role in the auth block of certroll.hcl, and what `vault list auth/" + a.mount() + "/role` shows"
		return e
	}
	denied := status == http.StatusForbidden && strings.HasSuffix(e.said, ": permission denied")
	l, isJWT := method.(jwtLogin)
	switch {
	case denied:
		e.advice = a.denied()
	case isJWT:
		e.advice = "the token was refused: see what the role is bound to (`vault read auth/" + a.mount() + "/role/" + a.Role + "`)"
	case a.isWrapped():
		e.advice = "what was sent as the secret id looks like a Vault token: where it is a wrapping token (vault write -wrap-ttl=...), write what `vault unwrap -field=secret_id` makes of it into the file instead"
	default:
		e.advice = "the credential was refused: check that it is the right one and not used up, and what the auth method's role is bound to"
	}
	if claims := l.claims(); claims != "" {
		e.advice += "; the token has " + claims
	}
	return e
}

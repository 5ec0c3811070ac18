package vault

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"os"
	"strings"
)

// explain turns an error of the api package into a sentence. path is the API path, and
// capability is the one that a policy must grant on it.
func (c *Client) explain(err error, doing, path, capability string) error {
	e := c.explained(err, doing)
	if e.advice == "" && statusOf(err) == http.StatusForbidden {
		e.advice, e.place = missing(path, capability), true
	}
	return e
}

// explained is explain for errors that no single capability would solve.
func (c *Client) explained(err error, doing string) *Error {
	re := responseOf(err)
	if re == nil {
		return c.explainTransport(err, doing)
	}
	e := &Error{doing: doing, said: words(re), away: re.StatusCode == http.StatusServiceUnavailable, cause: err}
	switch {
	case c.deaths.known(err):
		c.foundDead()
		e.dead = true
		e.advice = "the token is not valid any more, or never was: " + c.nextLogin()
	case re.StatusCode == http.StatusServiceUnavailable && strings.Contains(strings.ToLower(e.said), "sealed"):
		e.sealed = true
		e.advice = "unseal it (vault operator unseal); nothing is lost, and the next run continues"
	case re.StatusCode == http.StatusServiceUnavailable:
		e.advice = "Vault at " + c.api.Address() + " is not ready; see its log"
	case re.StatusCode == http.StatusTooManyRequests:
		e.advice = "a quota of Vault's was passed for minutes, however slowly certroll asked; raise it (sys/quotas), or lower vault.parallel in certroll.hcl"
	case strings.Contains(e.said, "check-and-set parameter did not match"):
		e.conflict = true
		e.advice = "another program wrote it meanwhile; plan again"
	case re.StatusCode == http.StatusBadRequest && strings.Contains(e.said, "metadata check-and-set"):
		// OpenBao gives this answer if a mount or secret has metadata_cas_required.
		e.advice = "certroll writes metadata without check-and-set: turn metadata_cas_required off for that mount and secret"
	case re.StatusCode == http.StatusBadRequest && strings.Contains(e.said, "Invalid path for a versioned K/V"):
		e.advice = "the path is not one of KV v2"
	}
	return e
}

// nextLogin returns how certroll gets another token, depending on the source of this one.
func (c *Client) nextLogin() string {
	switch m := c.opts.Auth.Method; {
	case m == "token-file":
		return "write another one into " + c.opts.Auth.TokenFile
	case m != "" && m != "token":
		return "see the auth block of certroll.hcl, and that token_num_uses of the auth method's role is 0, as it is unless set: certroll makes many calls with one token"
	case os.Getenv("VAULT_TOKEN") != "":
		return "it is VAULT_TOKEN's, so set another one, for which certroll run has to be restarted"
	default:
		return "log in again (vault login)"
	}
}

// explainTransport explains an error without an HTTP answer.
func (c *Client) explainTransport(err error, doing string) *Error {
	e := &Error{doing: doing, said: err.Error(), cause: err}
	e.away = errors.Is(err, context.DeadlineExceeded) || errors.As(err, new(*net.OpError))
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var op *net.OpError
	switch {
	case errors.Is(err, context.Canceled):
	case errors.Is(err, context.DeadlineExceeded):
		e.advice = "Vault at " + c.api.Address() + " did not answer in time; check that it is up and reachable"
	case errors.As(err, &unknown):
		e.advice = "set vault.ca_cert in certroll.hcl (or VAULT_CACERT) to the CA that signed Vault's certificate"
	case errors.As(err, &host):
		e.advice = "set vault.tls_server_name (or VAULT_TLS_SERVER_NAME) to a name in Vault's certificate"
	case strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		e.advice = "Vault speaks plain HTTP there: write http:// in vault.address (or VAULT_ADDR)"
	case errors.As(err, &op):
		e.advice = "is Vault up at " + c.api.Address() + "? See vault.address in certroll.hcl, or VAULT_ADDR"
	}
	return e
}

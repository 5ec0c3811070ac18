package vault

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/hashicorp/vault/api"

	"certroll/spec/text"
)

// Error is what every method fails with.
type Error struct {
	doing    string // what was being done to what
	said     string // Vault's own words
	advice   string // what to do next
	conflict bool
	away     bool // it did not answer, or is sealed or not ready
	place    bool // this path or mount alone, whatever else Vault lets us do
	dead     bool // the token is not valid any more
	sealed   bool
	cause    error
}

// Error renders the failure as one sentence.
func (e *Error) Error() string {
	s := e.doing + ": " + strings.TrimRight(text.Line(e.said), ". ")
	if e.advice != "" {
		s += "; " + e.advice
	}
	return s
}

// Class says that it is Vault's matter.
func (e *Error) Class() string { return "vault" }

// Conflict tells that a check-and-set did not match: somebody else wrote.
func (e *Error) Conflict() bool { return e.conflict }

// OfPlace tells that it says something of this path or mount alone, and nothing
// of Vault as a whole.
func (e *Error) OfPlace() bool { return e.place }

// Away tells that Vault does not answer, is sealed or not ready: it may be back
// without anybody's doing here.
func (e *Error) Away() bool { return e.away }

// Sealed tells that Vault answers that it is sealed.
func (e *Error) Sealed() bool { return e.sealed }

// DeadToken tells that Vault does not take certroll's token any more, and that
// there is no other one yet.
func (e *Error) DeadToken() bool { return e.dead }

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.cause }

func configError(doing string, err error) error {
	return &Error{doing: doing, said: err.Error(), advice: "mend the vault block of certroll.hcl, or the VAULT_* variables", cause: err}
}

func notFound(doing string) error {
	return &Error{doing: doing, said: "there is nothing to read", cause: fs.ErrNotExist}
}

// explain turns an error of the api into a sentence. path is the API path and
// capability what a policy must grant on it.
func (c *Client) explain(err error, doing, path, capability string) error {
	e := c.explained(err, doing)
	if e.advice == "" && statusOf(err) == http.StatusForbidden {
		e.advice, e.place = missing(path, capability), true
	}
	return e
}

// explained is explain where no one path and capability is at stake.
func (c *Client) explained(err error, doing string) *Error {
	re := responseOf(err)
	if re == nil {
		return c.explainTransport(err, doing)
	}
	e := &Error{doing: doing, said: words(re), away: re.StatusCode == http.StatusServiceUnavailable, cause: err}
	switch {
	case c.knownDead(err):
		c.foundDead()
		e.dead = true
		e.advice = "the token is not valid any more, or never was: " + c.nextLogin()
	case re.StatusCode == http.StatusServiceUnavailable && strings.Contains(strings.ToLower(e.said), "sealed"):
		e.sealed = true
		e.advice = "unseal it (vault operator unseal); nothing is lost, and the next run goes on"
	case re.StatusCode == http.StatusServiceUnavailable:
		e.advice = "Vault at " + c.api.Address() + " is not ready; see its log"
	case re.StatusCode == http.StatusTooManyRequests:
		e.advice = "a quota of Vault's was passed for minutes, however slowly certroll asked; raise it (sys/quotas), or lower vault.parallel in certroll.hcl"
	case strings.Contains(e.said, "check-and-set parameter did not match"):
		e.conflict = true
		e.advice = "another program wrote it meanwhile; plan again"
	case re.StatusCode == http.StatusBadRequest && strings.Contains(e.said, "metadata check-and-set"):
		// OpenBao's, of a mount or secret with metadata_cas_required.
		e.advice = "certroll writes metadata without check-and-set: turn metadata_cas_required off for that mount and secret"
	case re.StatusCode == http.StatusBadRequest && strings.Contains(e.said, "Invalid path for a versioned K/V"):
		e.advice = "the path is not one of KV v2"
	}
	return e
}

// nextLogin says how certroll gets another token, by where it has this one from.
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

// words are Vault's own.
func words(re *api.ResponseError) string {
	if len(re.Errors) == 0 {
		return fmt.Sprintf("Vault answered %d %s", re.StatusCode, http.StatusText(re.StatusCode))
	}
	var lines []string
	for _, s := range re.Errors {
		lines = append(lines, strings.Join(strings.Fields(strings.ReplaceAll(s, "\t", " ")), " "))
	}
	return fmt.Sprintf("Vault answered %d: %s", re.StatusCode, strings.Join(lines, "; "))
}

func (c *Client) explainTransport(err error, doing string) *Error {
	e := &Error{doing: doing, said: err.Error(), cause: err}
	e.away = errors.Is(err, context.DeadlineExceeded) || errors.As(err, new(*net.OpError))
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var op *net.OpError
	switch {
	case errors.Is(err, context.Canceled):
	case errors.Is(err, context.DeadlineExceeded):
		e.advice = "Vault at " + c.api.Address() + " did not answer in time; see that it is up and reachable"
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

// missing says which capability a policy lacks.
func missing(path, capability string) string {
	return fmt.Sprintf("the token lacks the capability %s on it; add to its policy:  path %q { capabilities = [%s] }",
		strings.ReplaceAll(capability, ", ", " or "), path, quoted(capability))
}

func quoted(capabilities string) string {
	return `"` + strings.ReplaceAll(capabilities, ", ", `", "`) + `"`
}

// deadToken tells whether Vault takes the token for none at all, rather than
// for one that may not do this.
func deadToken(err error) bool {
	re := responseOf(err)
	return re != nil && re.StatusCode == http.StatusForbidden && slices.ContainsFunc(re.Errors, func(s string) bool {
		return strings.Contains(s, "invalid token") || strings.Contains(s, "bad token")
	})
}

func responseOf(err error) *api.ResponseError {
	var re *api.ResponseError
	if errors.As(err, &re) {
		return re
	}
	return nil
}

func isConflict(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.conflict
}

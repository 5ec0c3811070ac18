package vault

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"strings"

	"github.com/hashicorp/vault/api"

	"certroll/spec/text"
)

// Error is the error of every method of this package.
type Error struct {
	doing    string // the operation and its object
	said     string // Vault's own words
	advice   string // next step for a person
	conflict bool
	away     bool // Vault did not answer, is sealed or not ready
	place    bool // concerns this path or mount only
	dead     bool // the token is no longer valid
	sealed   bool
	cause    error
}

// Error returns the failure as one sentence.
func (e *Error) Error() string {
	s := e.doing + ": " + strings.TrimRight(text.Line(e.said), ". ")
	if e.advice != "" {
		s += "; " + e.advice
	}
	return s
}

// Advice returns the next step, which Error contains too; "" if there is none.
func (e *Error) Advice() string { return e.advice }

// Class returns "vault", the failure class of everything here.
func (e *Error) Class() string { return "vault" }

// Conflict reports whether check-and-set did not match: another client wrote.
func (e *Error) Conflict() bool { return e.conflict }

// OfPlace reports whether the error concerns this path or mount only, not Vault as a
// whole.
func (e *Error) OfPlace() bool { return e.place }

// Away reports whether Vault does not answer, is sealed or not ready. It may come back
// without any action on this side.
func (e *Error) Away() bool { return e.away }

// Sealed reports whether Vault answered that it is sealed.
func (e *Error) Sealed() bool { return e.sealed }

// DeadToken reports whether Vault no longer accepts certroll's token, and certroll has no
// other yet.
func (e *Error) DeadToken() bool { return e.dead }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.cause }

// configError reports an unusable setting of the vault block or of a VAULT_* variable.
func configError(doing string, err error) error {
	return &Error{doing: doing, said: err.Error(), advice: "fix the vault block of certroll.hcl, or the VAULT_* variables", cause: err}
}

// notFound reports a missing secret; it wraps fs.ErrNotExist.
func notFound(doing string) error {
	return &Error{doing: doing, said: "there is nothing to read", cause: fs.ErrNotExist}
}

// words returns Vault's own words on one line.
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

// missing returns the advice that names the missing capability and the policy rule for
// it.
func missing(path, capability string) string {
	return fmt.Sprintf("the token lacks the capability %s on it; add to its policy:  path %q { capabilities = [%s] }",
		strings.ReplaceAll(capability, ", ", " or "), path, quoted(capability))
}

func quoted(capabilities string) string {
	return `"` + strings.ReplaceAll(capabilities, ", ", `", "`) + `"`
}

// deadToken reports whether Vault calls the token invalid, as opposed to lacking a
// capability.
func deadToken(err error) bool {
	re := responseOf(err)
	return re != nil && re.StatusCode == http.StatusForbidden && slices.ContainsFunc(re.Errors, func(s string) bool {
		return strings.Contains(s, "invalid token") || strings.Contains(s, "bad token")
	})
}

// responseOf returns Vault's answer in an error; nil if Vault did not answer.
func responseOf(err error) *api.ResponseError {
	var re *api.ResponseError
	if errors.As(err, &re) {
		return re
	}
	return nil
}

// isConflict reports whether check-and-set did not match.
func isConflict(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.conflict
}

// statusOf returns the HTTP status of Vault's answer; 0 without an answer.
func statusOf(err error) int {
	if re := responseOf(err); re != nil {
		return re.StatusCode
	}
	return 0
}

func forbidden(err error) bool { return statusOf(err) == http.StatusForbidden }

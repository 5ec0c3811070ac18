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

// statusOf is the HTTP status that Vault answered with; 0 where it did not.
func statusOf(err error) int {
	if re := responseOf(err); re != nil {
		return re.StatusCode
	}
	return 0
}

func forbidden(err error) bool { return statusOf(err) == http.StatusForbidden }

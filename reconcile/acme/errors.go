package acme

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"certroll/spec"
	"certroll/spec/text"
)

// The classes of failure. The class decides what follows from an error; the
// text only explains it.
const (
	ClassDNSUnauthorized = "dns_unauthorized" // the DNS provider refuses the account's credentials
	ClassDNSUnavailable  = "dns_unavailable"  // the DNS provider, or its child process, does not answer
	ClassDNSPropagation  = "dns_propagation"  // the record was written and is not to be seen
	ClassDNSOccupied     = "dns_occupied"     // a TXT record of somebody else stands where the provider would remove it
	ClassCAA             = "caa"              // a CAA record forbids the CA to issue
	ClassRateLimited     = "rate_limited"     // a limit of the CA
	ClassValidation      = "validation"       // the CA looked and did not find what it expected
	ClassRejected        = "ca_rejected"      // the CA will not do it, however often it is asked
	ClassPaused          = "paused"           // the CA has paused the account for these names
	ClassCAUnavailable   = "ca_unavailable"   // the CA does not answer, or not sensibly
	ClassVault           = "vault"            // the account store failed
	ClassConfig          = "config"           // issuer or DNS account are set up wrongly
	ClassInternal        = "internal"         // interrupted, or a fault of our own
)

// Error is what every function of this package fails with: what was being
// done to what, what the other side said word for word, and what to do next.
type Error struct {
	class  string
	doing  string // "ordering a certificate for a.example.com at https://ca.example.com/directory"
	said   string // the upstream's own words
	advice string // what a person, or the next pass, should do; may be empty
	retry  time.Time
	gone   bool
	cause  error
	// account is the DNS account that was in use; empty where none was.
	account string
	names   []string // that the CA validated in vain
	owner   string   // OwnerAccount, or empty: the class says it
	notZone bool     // the DNS account does not hold the name's zone
	badKey  bool     // the CA does not take the certificate's key
	// processing says that the CA is at work on the order, which has no verdict yet.
	processing bool
}

// OwnerAccount is the owner of a failure that is the issuer's ACME account's:
// all of its certificates fail by it, and mending it frees them all.
const OwnerAccount = "acme_account"

// Error renders the failure as one sentence.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.doing)
	if e.said != "" {
		b.WriteString(": " + strings.TrimRight(text.Line(e.said), ". "))
	}
	if e.advice != "" {
		b.WriteString("; " + e.advice)
	}
	return b.String()
}

// Class is one of the Class constants.
func (e *Error) Class() string { return e.class }

// RetryAt is the time before which the other side does not want to be asked
// again; zero where it named none.
func (e *Error) RetryAt() time.Time { return e.retry }

// OrderGone reports that the order at hand can never be finished, so that the
// caller has to begin with a new one.
func (e *Error) OrderGone() bool { return e.gone }

// isNotOfAccount reports that another DNS account may do better, and that this one
// has done nothing wrong: the zone is another's, or the record set is.
func (e *Error) isNotOfAccount() bool { return e.notZone || e.class == ClassDNSOccupied }

// BadKey reports that the CA does not take the key of the certificate request, as
// where it was blocked after a compromise: another key may do.
func (e *Error) BadKey() bool { return e.badKey }

// Processing reports that the CA has the certificate request and has not decided
// on it, so that time alone may bring the certificate.
func (e *Error) Processing() bool { return e.processing }

// Account is the DNS account that was in use, empty where none was.
func (e *Error) Account() string { return e.account }

// Names are the identifiers that the CA looked at in vain, as the certificate
// would have them: what CAs count failed validations by.
func (e *Error) Names() []string { return e.names }

// Owner is OwnerAccount, or empty where the class says whose failure it is.
func (e *Error) Owner() string { return e.owner }

// Unwrap is the cause: a context's error, a problem document, a network error.
func (e *Error) Unwrap() error { return e.cause }

// asError makes any error one of ours; doing says what failed where it was
// not known yet.
func asError(doing string, err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{class: ClassInternal, doing: doing, said: err.Error(), cause: err}
}

// interrupted is the error of a call whose context ended. It is of class
// internal and unwraps to the context's error, which callers look at first:
// an interruption is nobody's failure.
func interrupted(ctx context.Context, doing string) *Error {
	return &Error{class: ClassInternal, doing: doing, said: "interrupted: " + context.Cause(ctx).Error(), cause: ctx.Err()}
}

// ofAccount is err with the DNS account that was in use.
func ofAccount(account, doing string, err error) *Error {
	e := *asError(doing, err)
	e.account = account
	return &e
}

func configError(doing, said, advice string) *Error {
	return &Error{class: ClassConfig, doing: doing, said: said, advice: advice}
}

// heldError is the refusal to use an issuer or a DNS account that a new rule holds.
func heldError(doing string, held []spec.Hold) *Error {
	return configError(doing, "a rule of this version of certroll holds it: "+held[0].Message, "allow it in certroll.hcl, or change the block")
}

func storeError(doing string, err error) *Error {
	return &Error{
		class: ClassVault, doing: doing, said: err.Error(), cause: err,
		advice: "the ACME account's key is kept there, so nothing can be ordered until the store answers",
	}
}

// hasClass reports whether err is one of ours with this class.
func hasClass(err error, class string) bool {
	var e *Error
	return errors.As(err, &e) && e.class == class
}

// join makes one error of what several names of one order failed with. The
// first decides the class; the order is gone as soon as one of them burned it.
func join(doing string, errs []error) error {
	var all []*Error
	for _, err := range errs {
		if err != nil {
			all = append(all, asError(doing, err))
		}
	}
	if len(all) < 2 {
		if len(all) == 0 {
			return nil
		}
		return all[0]
	}
	return merge(doing, all)
}

// shown is how many of the names that failed are told in full.
const shown = 5

func merge(doing string, all []*Error) *Error {
	out := &Error{class: all[0].class, doing: doing, cause: all[0], account: all[0].account}
	var said []string
	for _, e := range all {
		out.gone = out.gone || e.gone
		out.names = append(out.names, e.names...)
		if e.retry.After(out.retry) {
			out.retry = e.retry
		}
		// What fails before a name comes into it, as a credential that cannot
		// be read, is the same for all of them.
		if message := e.Error(); !slices.Contains(said, message) {
			said = append(said, message)
		}
	}
	more := ""
	if len(said) > shown {
		more = fmt.Sprintf(" | and %d more", len(said)-shown)
		said = said[:shown]
	}
	out.said = fmt.Sprintf("%d names failed: %s%s", len(all), strings.Join(said, " | "), more)
	return out
}

// notPublished is the failure of an account to publish an answer. The CA was
// not asked, so nothing is lost and another account may try.
type notPublished struct{ why *Error }

func (e notPublished) Error() string { return e.why.Error() }
func (e notPublished) Unwrap() error { return e.why }

// unresolved is the failure to follow a reference to a secret.
func unresolved(ctx context.Context, doing, what string, err error) error {
	if ctx.Err() != nil {
		return interrupted(ctx, doing)
	}
	if malformed := (*malformedError)(nil); errors.As(err, &malformed) {
		return configError(doing+": reading "+what, malformed.Error(), "")
	}
	return &Error{class: ClassVault, doing: doing + ": reading " + what, said: err.Error(), cause: err,
		advice: "see that the reference is right and may be read"}
}

// malformedError says that a reference leads to what cannot be a credential.
type malformedError struct{ error }

func isOfAccount(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.owner == OwnerAccount
}

// isPassing reports whether err is a trouble of the CA or of the way to it,
// and no verdict.
func isPassing(err error) bool {
	return hasClass(err, ClassCAUnavailable) || hasClass(err, ClassRateLimited)
}

// trustEndpoints is the setting that says where issuers and DNS accounts of the
// config repo may lead to.
const trustEndpoints = "trust.endpoints in certroll.hcl"

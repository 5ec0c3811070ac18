package problem

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

// Error is what package acme and those below it fail with: what was being
// done to what, what the other side said word for word, and what to do next.
type Error struct {
	OfClass string    // one of the Class constants
	Doing   string    // "ordering a certificate for a.example.com at https://ca.example.com/directory"
	Said    string    // the upstream's own words
	Advice  string    // what a person, or the next pass, should do; may be empty
	Retry   time.Time // see RetryAt
	Gone    bool      // see OrderGone
	Cause   error
	// DNSAccount is the DNS account that was in use; empty where none was.
	DNSAccount  string
	Identifiers []string // that the CA validated in vain
	OwnedBy     string   // OwnerAccount, or empty: the class says it
	NotZone     bool     // the DNS account does not hold the name's zone
	KeyRefused  bool     // the CA does not take the certificate's key
	// InProgress says that the CA is at work on the order, which has no verdict yet.
	InProgress bool
}

// OwnerAccount is the owner of a failure that is the issuer's ACME account's:
// all of its certificates fail by it, and mending it frees them all.
const OwnerAccount = "acme_account"

// Error renders the failure as one sentence.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Doing)
	if e.Said != "" {
		b.WriteString(": " + strings.TrimRight(text.Line(e.Said), ". "))
	}
	if e.Advice != "" {
		b.WriteString("; " + e.Advice)
	}
	return b.String()
}

// Class is one of the Class constants.
func (e *Error) Class() string { return e.OfClass }

// RetryAt is the time before which the other side does not want to be asked
// again; zero where it named none.
func (e *Error) RetryAt() time.Time { return e.Retry }

// OrderGone reports that the order at hand can never be finished, so that the
// caller has to begin with a new one.
func (e *Error) OrderGone() bool { return e.Gone }

// IsNotOfAccount reports that another DNS account may do better, and that this one
// has done nothing wrong: the zone is another's, or the record set is.
func (e *Error) IsNotOfAccount() bool { return e.NotZone || e.OfClass == ClassDNSOccupied }

// BadKey reports that the CA does not take the key of the certificate request, as
// where it was blocked after a compromise: another key may do.
func (e *Error) BadKey() bool { return e.KeyRefused }

// Processing reports that the CA has the certificate request and has not decided
// on it, so that time alone may bring the certificate.
func (e *Error) Processing() bool { return e.InProgress }

// Account is the DNS account that was in use, empty where none was.
func (e *Error) Account() string { return e.DNSAccount }

// Names are the identifiers that the CA looked at in vain, as the certificate
// would have them: what CAs count failed validations by.
func (e *Error) Names() []string { return e.Identifiers }

// Owner is OwnerAccount, or empty where the class says whose failure it is.
func (e *Error) Owner() string { return e.OwnedBy }

// Unwrap is the cause: a context's error, a problem document, a network error.
func (e *Error) Unwrap() error { return e.Cause }

// AsError makes any error one of ours; doing says what failed where it was
// not known yet.
func AsError(doing string, err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{OfClass: ClassInternal, Doing: doing, Said: err.Error(), Cause: err}
}

// Interrupted is the error of a call whose context ended. It is of class
// internal and unwraps to the context's error, which callers look at first:
// an interruption is nobody's failure.
func Interrupted(ctx context.Context, doing string) *Error {
	return &Error{OfClass: ClassInternal, Doing: doing, Said: "interrupted: " + context.Cause(ctx).Error(), Cause: ctx.Err()}
}

// OfAccount is err with the DNS account that was in use.
func OfAccount(account, doing string, err error) *Error {
	e := *AsError(doing, err)
	e.DNSAccount = account
	return &e
}

// Config is the error of an issuer or a DNS account that is set up wrongly.
func Config(doing, said, advice string) *Error {
	return &Error{OfClass: ClassConfig, Doing: doing, Said: said, Advice: advice}
}

// Held is the refusal to use an issuer or a DNS account that a new rule holds.
func Held(doing string, held []spec.Hold) *Error {
	return Config(doing, "a rule of this version of certroll holds it: "+held[0].Message, "allow it in certroll.hcl, or change the block")
}

// InStore is the error of the store that keeps the accounts.
func InStore(doing string, err error) *Error {
	return &Error{
		OfClass: ClassVault, Doing: doing, Said: err.Error(), Cause: err,
		Advice: "the ACME account's key is kept there, so nothing can be ordered until the store answers",
	}
}

// HasClass reports whether err is one of ours with this class.
func HasClass(err error, class string) bool {
	var e *Error
	return errors.As(err, &e) && e.OfClass == class
}

// Join makes one error of what several names of one order failed with. The
// first decides the class; the order is gone as soon as one of them burned it.
func Join(doing string, errs []error) error {
	var all []*Error
	for _, err := range errs {
		if err != nil {
			all = append(all, AsError(doing, err))
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
	out := &Error{OfClass: all[0].OfClass, Doing: doing, Cause: all[0], DNSAccount: all[0].DNSAccount}
	var said []string
	for _, e := range all {
		out.Gone = out.Gone || e.Gone
		out.Identifiers = append(out.Identifiers, e.Identifiers...)
		if e.Retry.After(out.Retry) {
			out.Retry = e.Retry
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
	out.Said = fmt.Sprintf("%d names failed: %s%s", len(all), strings.Join(said, " | "), more)
	return out
}

// NotPublished is the failure of an account to publish an answer. The CA was
// not asked, so nothing is lost and another account may try.
type NotPublished struct{ Why *Error }

func (e NotPublished) Error() string { return e.Why.Error() }
func (e NotPublished) Unwrap() error { return e.Why }

// Unresolved is the failure to follow a reference to a secret.
func Unresolved(ctx context.Context, doing, what string, err error) error {
	if ctx.Err() != nil {
		return Interrupted(ctx, doing)
	}
	if malformed := (*MalformedError)(nil); errors.As(err, &malformed) {
		return Config(doing+": reading "+what, malformed.Error(), "")
	}
	return &Error{OfClass: ClassVault, Doing: doing + ": reading " + what, Said: err.Error(), Cause: err,
		Advice: "see that the reference is right and may be read"}
}

// MalformedError says that a reference leads to what cannot be a credential.
type MalformedError struct{ Why error }

func (e *MalformedError) Error() string { return e.Why.Error() }

// IsOfAccount reports whether an error is the ACME account's own.
func IsOfAccount(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.OwnedBy == OwnerAccount
}

// IsPassing reports whether err is a trouble of the CA or of the way to it,
// and no verdict.
func IsPassing(err error) bool {
	return HasClass(err, ClassCAUnavailable) || HasClass(err, ClassRateLimited)
}

// TrustEndpoints is the setting that says where issuers and DNS accounts of the
// config repo may lead to.
const TrustEndpoints = "trust.endpoints in certroll.hcl"

package problem

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"certroll/reconcile/ledger"
	"certroll/spec"
	"certroll/spec/text"
)

// Error is the error of package acme and the packages below it: the operation and its
// object, the other side's words, and the next step.
type Error struct {
	OfClass ledger.Class
	Doing   string    // "ordering a certificate for a.example.com at https://ca.example.com/directory"
	Said    string    // the other side's words
	Advice  string    // the next step for a person or the next pass; may be empty
	Retry   time.Time // see RetryAt
	Gone    bool      // see OrderGone
	Cause   error
	// DNSAccount is the DNS account in use; empty if none was.
	DNSAccount  string
	Identifiers []string // the names whose validation failed
	// OwnedBy is ledger.OwnerAccount, or empty if the class implies the owner. All
	// certificates of an ACME account fail with it, and repairing the account frees them all.
	OwnedBy    ledger.Owner
	NotZone    bool // the DNS account does not hold the name's zone
	KeyRefused bool // the CA rejects the certificate's key
	// InProgress means that the CA is still processing the order.
	InProgress bool
}

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

// Class returns the class of the failure.
func (e *Error) Class() string { return string(e.OfClass) }

// RetryAt returns the time before which the other side asked not to be contacted; zero
// if it named none.
func (e *Error) RetryAt() time.Time { return e.Retry }

// OrderGone reports that the order can never be completed; the caller needs a new one.
func (e *Error) OrderGone() bool { return e.Gone }

// IsNotOfAccount reports that this DNS account is in order and another one may succeed:
// the account does not hold the zone, or a foreign record stands at the name.
func (e *Error) IsNotOfAccount() bool { return e.NotZone || e.OfClass == ledger.ClassDNSOccupied }

// BadKey reports that the CA rejects the key of the certificate request, for example one
// blocked after a compromise. A new key may work.
func (e *Error) BadKey() bool { return e.KeyRefused }

// Processing reports that the CA has accepted the certificate request and has not yet
// issued. Waiting may be enough.
func (e *Error) Processing() bool { return e.InProgress }

// Account returns the DNS account in use; empty if none was.
func (e *Error) Account() string { return e.DNSAccount }

// Names returns the identifiers whose validation failed, as the certificate spells them.
// CAs count failed validations by these (Let's Encrypt: 5 per name, account and hour).
func (e *Error) Names() []string { return e.Identifiers }

// Owner returns ledger.OwnerAccount, or empty if the class implies the owner.
func (e *Error) Owner() string { return string(e.OwnedBy) }

// Unwrap returns the cause: a context error, a problem document or a network error.
func (e *Error) Unwrap() error { return e.Cause }

// AsError returns the *Error in err's chain. Any other error becomes one of class
// internal, with doing as its operation.
func AsError(doing string, err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{OfClass: ledger.ClassInternal, Doing: doing, Said: err.Error(), Cause: err}
}

// Interrupted returns the error of a call whose context ended. Its class is internal,
// and it unwraps to the context's error. Callers check for that first: an interruption
// is not a failure.
func Interrupted(ctx context.Context, doing string) *Error {
	return &Error{OfClass: ledger.ClassInternal, Doing: doing, Said: "interrupted: " + context.Cause(ctx).Error(), Cause: ctx.Err()}
}

// IsInterruption reports that a context ended before the outcome was known.
func (e *Error) IsInterruption() bool {
	return e.OfClass == ledger.ClassInternal && (errors.Is(e.Cause, context.Canceled) || errors.Is(e.Cause, context.DeadlineExceeded))
}

// OfAccount returns a copy of err that names the DNS account in use.
func OfAccount(account, doing string, err error) *Error {
	e := *AsError(doing, err)
	e.DNSAccount = account
	return &e
}

// Config returns the error of a misconfigured issuer or DNS account.
func Config(doing, said, advice string) *Error {
	return &Error{OfClass: ledger.ClassConfig, Doing: doing, Said: said, Advice: advice}
}

// Held returns the error for an issuer or DNS account that a rule of a newer version of
// certroll holds.
func Held(doing string, held []spec.Hold) *Error {
	return Config(doing, "a rule of this version of certroll holds it: "+held[0].Message, "allow it in certroll.hcl, or change the block")
}

// InStore returns the error of a failed read or write of the account store.
func InStore(doing string, err error) *Error {
	return &Error{
		OfClass: ledger.ClassVault, Doing: doing, Said: err.Error(), Cause: err,
		Advice: "the ACME account's key is kept there, so nothing can be ordered until the store answers",
	}
}

// HasClass reports whether err is an *Error of this class.
func HasClass(err error, class ledger.Class) bool {
	var e *Error
	return errors.As(err, &e) && e.OfClass == class
}

// Join combines the failures of several names of one order; nil entries are ignored. The
// first failure decides the class. The order is gone if any failure says so. An
// interruption counts only if there is nothing else.
func Join(doing string, errs []error) error {
	var all []*Error
	var interrupted error
	for _, err := range errs {
		if err == nil {
			continue
		}
		if e := AsError(doing, err); e.IsInterruption() {
			interrupted = e
		} else {
			all = append(all, e)
		}
	}
	switch len(all) {
	case 0:
		return interrupted
	case 1:
		return all[0]
	}
	return merge(doing, all)
}

// shown bounds the failed names that the message quotes in full.
const shown = 5

// merge builds the combined error of Join. Its retry time is the latest one.
func merge(doing string, all []*Error) *Error {
	out := &Error{OfClass: all[0].OfClass, Doing: doing, Cause: all[0], DNSAccount: all[0].DNSAccount}
	var said []string
	for _, e := range all {
		out.Gone = out.Gone || e.Gone
		out.Identifiers = append(out.Identifiers, e.Identifiers...)
		if e.Retry.After(out.Retry) {
			out.Retry = e.Retry
		}
		// A failure that is not about a name, such as an unreadable credential, repeats
		// for each name: quote it once.
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

// NotPublished is a DNS account's failure to publish an answer. No request for
// validation reached the CA, so another account may try for the same order.
type NotPublished struct{ Why *Error }

func (e NotPublished) Error() string { return e.Why.Error() }
func (e NotPublished) Unwrap() error { return e.Why }

// Unresolved returns the error for a reference to a secret that could not be read.
func Unresolved(ctx context.Context, doing, what string, err error) error {
	if ctx.Err() != nil {
		return Interrupted(ctx, doing)
	}
	if malformed := (*MalformedError)(nil); errors.As(err, &malformed) {
		return Config(doing+": reading "+what, malformed.Error(), "")
	}
	advice := "check that the reference is right and may be read"
	var advised interface{ Advice() string }
	if errors.As(err, &advised) && advised.Advice() != "" {
		advice = "" // the error's text ends with its own
	}
	return &Error{OfClass: ledger.ClassVault, Doing: doing + ": reading " + what, Said: err.Error(), Cause: err, Advice: advice}
}

// MalformedError reports that a reference points to a value that cannot be a credential.
type MalformedError struct{ Why error }

func (e *MalformedError) Error() string { return e.Why.Error() }

// IsOfAccount reports whether the ACME account itself failed.
func IsOfAccount(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.OwnedBy == ledger.OwnerAccount
}

// IsPassing reports whether err is an outage or rate limit of the CA, so that a later
// attempt may succeed without a change.
func IsPassing(err error) bool {
	return HasClass(err, ledger.ClassCAUnavailable) || HasClass(err, ledger.ClassRateLimited)
}

// TrustEndpoints is the setting that allows addresses for the issuers and DNS accounts
// of the config repo.
const TrustEndpoints = "trust.endpoints in certroll.hcl"

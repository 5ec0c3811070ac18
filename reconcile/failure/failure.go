package failure

import (
	"context"
	"errors"
	"slices"
	"time"

	"certroll/reconcile/ledger"
	"certroll/spec/redact"
	"certroll/spec/text"
)

// The optional methods of an error from a port. Adapters implement them without importing
// this package.
type (
	classed    interface{ Class() string }
	retryAfter interface{ RetryAt() time.Time }
	orderGone  interface{ OrderGone() bool }
	ofAccount  interface{ Account() string }
	ofNames    interface{ Names() []string }
	ofPlace    interface{ OfPlace() bool }
	ofOwner    interface{ Owner() string }
	atWork     interface{ Processing() bool }
	ofKey      interface{ BadKey() bool }
)

// Error is an error of the core, with its class.
type Error struct {
	Code   ledger.Class
	Denied bool      // certroll refused, to protect existing data
	Stands bool      // another spec does not end the wait
	Gone   bool      // the order cannot be used any more
	Passes bool      // passes by itself, so no person has to act
	At     time.Time // earliest retry; zero: unknown
	Err    error
}

// RetryAt returns the earliest time of a retry.
func (f *Error) RetryAt() time.Time {
	if f.At.IsZero() {
		return RetryAt(f.Err)
	}
	return f.At
}

// OrderGone reports whether the order cannot be used any more.
func (f *Error) OrderGone() bool { return f.Gone || IsOrderGone(f.Err) }

func (f *Error) Error() string { return f.Err.Error() }
func (f *Error) Unwrap() error { return f.Err }

// Class returns the class as a string.
func (f *Error) Class() string { return string(f.Code) }

// ClassOf returns the class of an error. An error without a class, or with an unknown one,
// counts as certroll's own: ClassInternal.
func ClassOf(err error) ledger.Class {
	var c classed
	if errors.As(err, &c) && slices.Contains(ledger.Classes, ledger.Class(c.Class())) {
		return ledger.Class(c.Class())
	}
	return ledger.ClassInternal
}

// RetryAt returns the upstream's Retry-After; zero if it sent none.
func RetryAt(err error) time.Time {
	var r retryAfter
	if errors.As(err, &r) {
		return r.RetryAt()
	}
	return time.Time{}
}

// IsOrderGone reports whether the CA no longer knows the order.
func IsOrderGone(err error) bool {
	var g orderGone
	return errors.As(err, &g) && g.OrderGone()
}

// IsProcessing reports whether the CA still processes the order.
func IsProcessing(err error) bool {
	var p atWork
	return errors.As(err, &p) && p.Processing()
}

// IsBadKey reports whether the CA rejects the certificate's key (badPublicKey of RFC 8555
// section 6.7).
func IsBadKey(err error) bool {
	var k ofKey
	return errors.As(err, &k) && k.BadKey()
}

// AccountOf returns the DNS account that failed; "" for none.
func AccountOf(err error) string {
	var a ofAccount
	if errors.As(err, &a) {
		return a.Account()
	}
	return ""
}

// OwnerOf returns the owner of a failure: the one that the error names, or else the one of
// its class. By default the certificate owns its failure.
func OwnerOf(err error) ledger.Owner {
	var o ofOwner
	class := ClassOf(err)
	switch {
	case errors.As(err, &o) && o.Owner() != "":
		return ledger.Owner(o.Owner())
	case IsOfPlace(err):
		return ledger.OwnerPlace
	case class.OfAccount():
		return ledger.OwnerDNSAccount
	case class.OfIssuer():
		return ledger.OwnerIssuer
	case class == ledger.ClassVault, class == ledger.ClassGit, class == ledger.ClassInternal:
		return ""
	default:
		return ledger.OwnerCertificate
	}
}

// IsOfPlace reports whether the error concerns one path in Vault alone.
func IsOfPlace(err error) bool {
	var p ofPlace
	return errors.As(err, &p) && p.OfPlace()
}

// FailedNames returns the names that the CA could not validate.
func FailedNames(err error) []string {
	var n ofNames
	if errors.As(err, &n) {
		return n.Names()
	}
	return nil
}

// IsInterrupt reports whether the run was stopped. The next run continues an interrupted
// attempt, which counts as no failure.
func IsInterrupt(ctx context.Context, err error) bool {
	return ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, ctx.Err()))
}

// IsTimeUp reports whether an error says only that a context ended: no other party failed.
func IsTimeUp(err error) bool {
	return ClassOf(err) == ledger.ClassInternal && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded))
}

// Message returns the text of an error for the ledger. It removes text with the shape of a
// secret, this machine's own addresses, and characters that would act on a reader's
// terminal. The recorder also removes the secrets that certroll knows.
func Message(err error) string { return text.Lines(redact.Network(redact.Tokens(err.Error()))) }

// IsConflict reports whether another writer came first.
func IsConflict(err error) bool {
	var c interface{ Conflict() bool }
	return errors.As(err, &c) && c.Conflict()
}

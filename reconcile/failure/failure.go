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

// What an error of a port may tell about itself. The adapters satisfy these
// without importing this package.
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

// Error is an error of our own making, with its class.
type Error struct {
	Code   ledger.Class
	Denied bool      // refused to protect what is there
	Stands bool      // another spec does not end the wait
	Gone   bool      // the order at hand is of no more use
	Passes bool      // it passes by itself: no person's wait
	At     time.Time // when it may be tried again; zero: not known
	Err    error
}

// RetryAt is when it may be tried again.
func (f *Error) RetryAt() time.Time {
	if f.At.IsZero() {
		return RetryAt(f.Err)
	}
	return f.At
}

// OrderGone reports that the order at hand is of no more use.
func (f *Error) OrderGone() bool { return f.Gone || IsOrderGone(f.Err) }

func (f *Error) Error() string { return f.Err.Error() }
func (f *Error) Unwrap() error { return f.Err }

// Class says what kind of failure it is.
func (f *Error) Class() string { return string(f.Code) }

// ClassOf reads the class off an error; one that carries none, or none that
// is known, is our own mistake.
func ClassOf(err error) ledger.Class {
	var c classed
	if errors.As(err, &c) && slices.Contains(ledger.Classes, ledger.Class(c.Class())) {
		return ledger.Class(c.Class())
	}
	return ledger.ClassInternal
}

// RetryAt is when the other side allows the next try; zero where it does not say.
func RetryAt(err error) time.Time {
	var r retryAfter
	if errors.As(err, &r) {
		return r.RetryAt()
	}
	return time.Time{}
}

// IsOrderGone tells that the CA does not know the order any more.
func IsOrderGone(err error) bool {
	var g orderGone
	return errors.As(err, &g) && g.OrderGone()
}

// IsProcessing tells that the CA is at work on the order, and has not decided.
func IsProcessing(err error) bool {
	var p atWork
	return errors.As(err, &p) && p.Processing()
}

// IsBadKey tells that the CA does not take the certificate's key.
func IsBadKey(err error) bool {
	var k ofKey
	return errors.As(err, &k) && k.BadKey()
}

// AccountOf is the DNS account that failed; "" where none did.
func AccountOf(err error) string {
	var a ofAccount
	if errors.As(err, &a) {
		return a.Account()
	}
	return ""
}

// OwnerOf says whose failure it is: by the error's own word, else by its class.
// A failure that is nobody else's is the certificate's.
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

// IsOfPlace tells that an error is about one place in Vault alone.
func IsOfPlace(err error) bool {
	var p ofPlace
	return errors.As(err, &p) && p.OfPlace()
}

// FailedNames are the names that the CA validated in vain.
func FailedNames(err error) []string {
	var n ofNames
	if errors.As(err, &n) {
		return n.Names()
	}
	return nil
}

// IsInterrupt tells a run that was stopped from one that failed: what is
// interrupted goes on with the next run and counts as no failure.
func IsInterrupt(ctx context.Context, err error) bool {
	return ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, ctx.Err()))
}

// Message is an error as it may be written down, without what is a secret by
// its shape, and fit to be shown by whatever shows the ledger. The scribe strikes
// the secrets that certroll knows.
func Message(err error) string { return text.Lines(redact.Tokens(err.Error())) }

// IsConflict tells that somebody else wrote in between.
func IsConflict(err error) bool {
	var c interface{ Conflict() bool }
	return errors.As(err, &c) && c.Conflict()
}

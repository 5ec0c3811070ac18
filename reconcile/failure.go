package reconcile

import (
	"context"
	"errors"
	"slices"
	"time"

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

// failure is an error of our own making, with its class.
type failure struct {
	code   Class
	denied bool      // refused to protect what is there
	stands bool      // another spec does not end the wait
	gone   bool      // the order at hand is of no more use
	passes bool      // it passes by itself: no person's wait
	at     time.Time // when it may be tried again; zero: not known
	err    error
}

// RetryAt is when it may be tried again.
func (f *failure) RetryAt() time.Time {
	if f.at.IsZero() {
		return retryAt(f.err)
	}
	return f.at
}

// OrderGone reports that the order at hand is of no more use.
func (f *failure) OrderGone() bool { return f.gone || isOrderGone(f.err) }

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// Class says what kind of failure it is.
func (f *failure) Class() string { return string(f.code) }

// classOf reads the class off an error; one that carries none, or none that
// is known, is our own mistake.
func classOf(err error) Class {
	var c classed
	if errors.As(err, &c) && slices.Contains(Classes, Class(c.Class())) {
		return Class(c.Class())
	}
	return ClassInternal
}

func retryAt(err error) time.Time {
	var r retryAfter
	if errors.As(err, &r) {
		return r.RetryAt()
	}
	return time.Time{}
}

func isOrderGone(err error) bool {
	var g orderGone
	return errors.As(err, &g) && g.OrderGone()
}

// isProcessing tells that the CA is at work on the order, and has not decided.
func isProcessing(err error) bool {
	var p atWork
	return errors.As(err, &p) && p.Processing()
}

// isBadKey tells that the CA does not take the certificate's key.
func isBadKey(err error) bool {
	var k ofKey
	return errors.As(err, &k) && k.BadKey()
}

func accountOf(err error) string {
	var a ofAccount
	if errors.As(err, &a) {
		return a.Account()
	}
	return ""
}

// ownerOf says whose failure it is: by the error's own word, else by its class.
// A failure that is nobody else's is the certificate's.
func ownerOf(err error) Owner {
	var o ofOwner
	class := classOf(err)
	switch {
	case errors.As(err, &o) && o.Owner() != "":
		return Owner(o.Owner())
	case isOfPlace(err):
		return OwnerPlace
	case class.ofAccount():
		return OwnerDNSAccount
	case class.ofIssuer():
		return OwnerIssuer
	case class == ClassVault, class == ClassGit, class == ClassInternal:
		return ""
	default:
		return OwnerCertificate
	}
}

// isOfPlace tells that an error is about one place in Vault alone.
func isOfPlace(err error) bool {
	var p ofPlace
	return errors.As(err, &p) && p.OfPlace()
}

// failedNames are the names that the CA validated in vain.
func failedNames(err error) []string {
	var n ofNames
	if errors.As(err, &n) {
		return n.Names()
	}
	return nil
}

// isInterrupt tells a run that was stopped from one that failed: what is
// interrupted goes on with the next run and counts as no failure.
func isInterrupt(ctx context.Context, err error) bool {
	return ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, ctx.Err()))
}

// message is an error as it may be written down, without what is a secret by
// its shape, and fit to be shown by whatever shows the ledger. The scribe strikes
// the secrets that certroll knows.
func message(err error) string { return text.Lines(redact.Tokens(err.Error())) }

func isConflict(err error) bool {
	var c interface{ Conflict() bool }
	return errors.As(err, &c) && c.Conflict()
}

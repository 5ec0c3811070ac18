package reconcile

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"time"
)

// Class says what kind of failure it was, and by that what is done about it.
type Class string

// The classes of a failure.
const (
	ClassDNSUnauthorized Class = "dns_unauthorized" // a DNS provider refused the credential
	ClassDNSUnavailable  Class = "dns_unavailable"  // a DNS provider or server did not answer
	ClassDNSPropagation  Class = "dns_propagation"  // the record was not seen in time
	ClassCAA             Class = "caa"              // a CAA record forbids this CA
	ClassRateLimited     Class = "rate_limited"     // the CA said when to come back
	ClassValidation      Class = "validation"       // the CA looked and did not find the answer
	ClassCARejected      Class = "ca_rejected"      // the CA refuses this order for good
	ClassPaused          Class = "paused"           // the CA waits for a person
	ClassCAUnavailable   Class = "ca_unavailable"   // the CA did not answer, or is down
	ClassVault           Class = "vault"
	ClassGit             Class = "git"
	ClassConfig          Class = "config"
	ClassInternal        Class = "internal"
)

// Classes are all of them, in the order of the documentation.
var Classes = []Class{
	ClassDNSUnauthorized, ClassDNSUnavailable, ClassDNSPropagation, ClassCAA, ClassRateLimited, ClassValidation,
	ClassCARejected, ClassPaused, ClassCAUnavailable, ClassVault, ClassGit, ClassConfig, ClassInternal,
}

// What an error of a port may tell about itself. The adapters satisfy these
// without importing this package.
type (
	classed    interface{ Class() string }
	retryAfter interface{ RetryAt() time.Time }
	orderGone  interface{ OrderGone() bool }
	ofAccount  interface{ Account() string }
	ofNames    interface{ Names() []string }
	ofPlace    interface{ OfPlace() bool }
)

// failure is an error of our own making, with its class.
type failure struct {
	class  Class
	denied bool      // refused to protect what is there
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

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// Class says what kind of failure it is.
func (f *failure) Class() string { return string(f.class) }

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

func accountOf(err error) string {
	var a ofAccount
	if errors.As(err, &a) {
		return a.Account()
	}
	return ""
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

// A jwt is the one shape of secret known to come in a CA's words: Let's
// Encrypt's unpause link carries one.
var jwt = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(\.[A-Za-z0-9_-]*)?`)

// message is an error as it may be written down.
func message(err error) string {
	return jwt.ReplaceAllString(err.Error(), "[redacted]")
}

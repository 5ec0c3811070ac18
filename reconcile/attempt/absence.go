package attempt

import (
	"errors"
	"sync"
	"time"

	"certroll/reconcile/failure"
	"certroll/reconcile/ledger"
)

// absence is a Vault that is away, sealed, or takes no token of ours, found in the
// middle of a pass. It is one problem: nothing more is begun, what is at work is left
// to the next run without a failure of its own, and one event tells of it.
//
//	at work   a  b  c         left to the next run, as after a crash: what they
//	              └ sealed    have is in their pending secrets
//	ready     d  e  f         left to the next run, nothing was asked for them
//
// What a certificate that is left so may ask of a CA over and over is bounded by
// silentTries: its pending secret counts the runs that ended without a word.
type absence struct {
	mu    sync.Mutex
	err   error // nil: Vault is there, as far as is known
	since time.Time
	// orders are those whose URLs Vault did not take any more.
	orders map[string]looseOrder // by certificate
}

// looseOrder is an order that only this process knows of.
type looseOrder struct{ url, keyDigest string }

// AwayError says that Vault went away in the middle of a run.
type AwayError struct {
	Since time.Time
	Err   error
}

func (e *AwayError) Error() string {
	return "Vault cannot be used since " + e.Since.UTC().Format(time.RFC3339) + ", so nothing more was begun, and what was not done is left to the next run: " + e.Err.Error()
}

func (e *AwayError) Unwrap() error { return e.Err }

// Class says that it is Vault's matter.
func (e *AwayError) Class() string { return string(ledger.ClassVault) }

// SaysAway tells that an error is of Vault as a whole: it does not answer, is sealed
// or not ready, or takes no token of ours.
func SaysAway(err error) bool {
	var away interface{ Away() bool }
	var dead interface{ DeadToken() bool }
	return failure.ClassOf(err) == ledger.ClassVault && (errors.As(err, &away) && away.Away() || errors.As(err, &dead) && dead.DeadToken())
}

// Current is why Vault cannot be used; nil where it can.
func (v *absence) Current() *AwayError {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.err == nil {
		return nil
	}
	return &AwayError{v.since, v.err}
}

// begin notes that Vault went away; false where that was known.
func (v *absence) begin(err error, now time.Time) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.err != nil {
		return false
	}
	v.err, v.since = err, now
	return true
}

// End notes that Vault is back, for an absence that was known before it was looked
// at: one that began meanwhile stands.
func (v *absence) End(known *AwayError) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if known != nil && v.since.Equal(known.Since) {
		v.err = nil
	}
}

// keep keeps an order that Vault did not take the URL of.
func (v *absence) keep(certificate string, o looseOrder) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.orders == nil {
		v.orders = map[string]looseOrder{}
	}
	v.orders[certificate] = o
}

// order is the one that was kept for a certificate's key; "": none was.
func (v *absence) order(certificate, keyDigest string) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	if o := v.orders[certificate]; o.keyDigest == keyDigest {
		return o.url
	}
	return ""
}

// forget drops what was kept: Vault has it, or has another.
func (v *absence) forget(certificate string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.orders, certificate)
}

package attempt

import (
	"errors"
	"sync"
	"time"

	"certroll/reconcile/failure"
	"certroll/reconcile/ledger"
)

// absence records that Vault became unusable in the middle of a pass: Vault does not
// answer, is sealed, or rejects certroll's token. certroll treats this as one problem. It
// starts no further attempt, leaves the running ones to the next run without counting a
// failure for their certificates, and writes one event.
//
//	running  a  b  c         resumed by the next run, as after a crash: their
//	             └ sealed    progress is in their pending secrets
//	ready    d  e  f         left to the next run, nothing was ordered for them
//
// silentTries bounds the orders of a certificate whose attempts keep ending this way: its
// pending secret counts the runs that ended without an event.
type absence struct {
	mu    sync.Mutex
	err   error // nil: Vault works, as far as certroll knows
	since time.Time
	// orders holds the orders whose URLs certroll could not store in Vault.
	orders map[string]looseOrder // by certificate
}

// looseOrder is an order whose URL exists only in this process's memory.
type looseOrder struct{ url, keyDigest string }

// AwayError reports that Vault became unusable during a run. It wraps Vault's error.
type AwayError struct {
	Since time.Time
	Err   error
}

func (e *AwayError) Error() string {
	return "Vault cannot be used since " + e.Since.UTC().Format(time.RFC3339) + ", so nothing more was begun, and what was not done is left to the next run: " + e.Err.Error()
}

func (e *AwayError) Unwrap() error { return e.Err }

// Class returns ledger.ClassVault: the failure is Vault's, not the certificate's.
func (e *AwayError) Class() string { return string(ledger.ClassVault) }

// SaysAway reports whether err concerns Vault as a whole: Vault does not answer, is
// sealed or not ready, or rejects certroll's token.
func SaysAway(err error) bool {
	var away interface{ Away() bool }
	var dead interface{ DeadToken() bool }
	return failure.ClassOf(err) == ledger.ClassVault && (errors.As(err, &away) && away.Away() || errors.As(err, &dead) && dead.DeadToken())
}

// Current returns the reason why Vault is unusable, or nil if it works.
func (v *absence) Current() *AwayError {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.err == nil {
		return nil
	}
	return &AwayError{v.since, v.err}
}

// begin records that Vault became unusable. It returns false if that was known already.
func (v *absence) begin(err error, now time.Time) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.err != nil {
		return false
	}
	v.err, v.since = err, now
	return true
}

// End records that Vault works again. known is the absence that the caller saw before it
// checked Vault; an absence that began since then stays.
func (v *absence) End(known *AwayError) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if known != nil && v.since.Equal(known.Since) {
		v.err = nil
	}
}

// keep stores the order of a certificate whose URL could not be written to Vault.
func (v *absence) keep(certificate string, o looseOrder) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.orders == nil {
		v.orders = map[string]looseOrder{}
	}
	v.orders[certificate] = o
}

// order returns the URL kept for a certificate's key, or "" if there is none. The key's
// digest has to match: an order made for another key is of no use.
func (v *absence) order(certificate, keyDigest string) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	if o := v.orders[certificate]; o.keyDigest == keyDigest {
		return o.url
	}
	return ""
}

// forget drops the kept order: Vault now holds its URL, or that of a later order.
func (v *absence) forget(certificate string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.orders, certificate)
}

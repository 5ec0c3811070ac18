package reconcile

import (
	"time"

	"certroll/spec"
)

// leastTurn is how long an issuer has its turn at least.
const leastTurn = time.Hour

// issuerFor is the issuer that a certificate is asked from now: the first of
// its list, unless that one has failed for the stated time and expiry nears.
//
//	due ─────────────┬───────────────┬───────────── notAfter
//	  first failure  │ fallback_after│ the next one, and so on, each for as long
//	                 └ at most half of the window, and of what was left ┘
//
// It is a function of what the record keeps, so that a restart changes
// nothing, and begins with the first one again once a renewal has worked.
func issuerFor(desired *spec.Spec, c *spec.Certificate, r *Record, l *Live, now time.Time) *spec.Issuer {
	first := desired.Issuers[c.Issuer]
	if r == nil || r.FailingSince == nil || r.LastFailure == nil || len(c.Fallbacks) == 0 {
		return first
	}
	after := c.Renewal.FallbackAfter
	if after <= 0 {
		return first
	}
	if l != nil {
		// One that began to fail late has less time left to be gone from.
		after = max(min(after, window(c, l)/2, l.NotAfter.Sub(*r.FailingSince)/2), leastTurn)
		if l.NotAfter.Sub(now) > window(c, l)/2 {
			return first
		}
	}
	turn := int(now.Sub(*r.FailingSince)/after) % (len(c.Fallbacks) + 1)
	if turn <= 0 || !r.LastFailure.Class.anotherIssuerMayHelp() {
		return first
	}
	return desired.Issuers[c.Fallbacks[turn-1]]
}

// anotherIssuerMayHelp tells whether a failure of this class may be one of the
// CA alone.
func (c Class) anotherIssuerMayHelp() bool {
	switch c {
	case ClassCAA, ClassRateLimited, ClassValidation, ClassCARejected, ClassPaused, ClassCAUnavailable, ClassConfig:
		return true
	default:
		return false
	}
}

// issuers are a certificate's issuers, the preferred one first.
func issuersOf(desired *spec.Spec, c *spec.Certificate) []*spec.Issuer {
	list := []*spec.Issuer{desired.Issuers[c.Issuer]}
	for _, name := range c.Fallbacks {
		list = append(list, desired.Issuers[name])
	}
	return list
}

// fallenBack tells whether what is live came from an issuer of the list that
// is not the preferred one.
func fallenBack(desired *spec.Spec, c *spec.Certificate, l *Live) *spec.Issuer {
	for _, i := range issuersOf(desired, c)[1:] {
		if i != nil && i.Name == l.Issuer && i.Directory == l.Directory {
			return i
		}
	}
	return nil
}

// fromTheFuture tells that a hold was stated by a clock that was ahead: it
// would last until that time comes.
func fromTheFuture(r *Record, now time.Time) bool {
	return r.LastFailure != nil && r.LastFailure.At.After(now.Add(maxSkew))
}

// holdApplies tells whether a hold is over, or was another issuer's: the one
// that takes its turn is not held for the failures of the one before.
func holdApplies(h *Hold, issuer *spec.Issuer, now time.Time) bool {
	return h != nil && h.Until.After(now) && (h.Issuer == "" || h.Issuer == issuer.Name)
}

package plan

import (
	"maps"
	"slices"
	"time"

	"certroll/reconcile/archive"
	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/throttle"
	"certroll/reconcile/times"
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
// It is a function of what the ledger keeps, so that a restart changes
// nothing, and begins with the first one again once a renewal has worked.
func issuerFor(desired *spec.Spec, c *spec.Certificate, r *ledger.Record, l *ledger.Live, found map[ledger.Subject]*throttle.Circuit, now time.Time) (i *spec.Issuer, failing time.Time) {
	first := desired.Issuers[c.Issuer]
	if len(c.Fallbacks) == 0 || c.Renewal.FallbackAfter <= 0 || l != nil && l.RenewalEnd().Sub(now) > Window(c, l)/2 {
		return first, failing
	}
	if r != nil && r.FailingSince != nil && r.LastFailure != nil && r.LastFailure.Class.AnotherIssuerMayHelp() {
		turn := int(now.Sub(*r.FailingSince)/turnOf(c, l, *r.FailingSince)) % (len(c.Fallbacks) + 1)
		if turn > 0 {
			return desired.Issuers[c.Fallbacks[turn-1]], *r.FailingSince
		}
	}
	since := failsForMany(c, found)
	if since.IsZero() || now.Sub(since) < min(turnOf(c, l, since), longestTrouble) {
		return first, failing
	}
	if turn := turnFromEnd(c, l, now); turn < len(c.Fallbacks) {
		return desired.Issuers[c.Fallbacks[turn]], since
	}
	return first, failing
}

// turnOf is how long each issuer has its turn, where the first one has failed
// since a moment: one that began to fail late has less time left to be gone from.
func turnOf(c *spec.Certificate, l *ledger.Live, since time.Time) time.Duration {
	after := c.Renewal.FallbackAfter
	if l == nil {
		return after
	}
	return max(min(after, Window(c, l)/2, l.RenewalEnd().Sub(since)/2), leastTurn)
}

// longestTrouble is how long an issuer that is held as a whole is known at least
// to fail: what history tells, less probes that may lie a day apart.
const longestTrouble = archive.HistorySpan - 2*times.Day

// failsForMany is since when a certificate's first issuer fails for so many that
// it is held as a whole; zero where it is not. The certificate itself may have
// failed never: one at a time tries, and its turn may not come before it expires.
func failsForMany(c *spec.Certificate, found map[ledger.Subject]*throttle.Circuit) (since time.Time) {
	for _, s := range ledger.IssuerSubjects(c.Issuer, c.Names()) {
		if t := found[s]; t.Open() && (since.IsZero() || t.First.Before(since)) {
			since = t.First
		}
	}
	return since
}

// turnFromEnd is whose turn it is while the first issuer is held as a whole. Turns
// are counted from expiry back, as history does not tell how long that is:
//
//	half of the window ─ ... ─┬ first ─┬ second ─┬─ first ─┬─ second ─┐
//	                                                              notAfter
func turnFromEnd(c *spec.Certificate, l *ledger.Live, now time.Time) int {
	end, turn := time.Unix(0, 0), c.Renewal.FallbackAfter
	if l != nil {
		end, turn = l.RenewalEnd(), max(min(turn, Window(c, l)/2), leastTurn)
	}
	return int(end.Sub(now).Abs()/turn) % (len(c.Fallbacks) + 1)
}

// IssuersOf are a certificate's issuers, the preferred one first.
func IssuersOf(desired *spec.Spec, c *spec.Certificate) []*spec.Issuer {
	list := []*spec.Issuer{desired.Issuers[c.Issuer]}
	for _, name := range c.Fallbacks {
		list = append(list, desired.Issuers[name])
	}
	return list
}

// IssuerOf is the issuer block that stands for the CA and account which a
// certificate was made with; nil where there is none any more. The name of a
// block is what people edit: where it is gone, or means another CA now, the
// certificate's own issuers at that CA go first, and any other of it after them.
func IssuerOf(desired *spec.Spec, c *spec.Certificate, l *ledger.Live) *spec.Issuer {
	return IssuerAt(desired, c, l.Issuer, l.Directory)
}

// IssuerAt is IssuerOf for the name of a block and a directory URL.
func IssuerAt(desired *spec.Spec, c *spec.Certificate, name, directory string) *spec.Issuer {
	if i := desired.Issuers[name]; i != nil && (i.Directory == directory || directory == "") {
		return i
	}
	if directory == "" {
		return nil
	}
	var all []*spec.Issuer
	if c != nil {
		all = IssuersOf(desired, c)
	}
	for _, other := range slices.Sorted(maps.Keys(desired.Issuers)) {
		all = append(all, desired.Issuers[other])
	}
	for _, i := range all {
		if i != nil && i.Directory == directory {
			return i
		}
	}
	return nil
}

// fallenBack tells whether what is live came from an issuer of the list that
// is not the preferred one.
func fallenBack(desired *spec.Spec, c *spec.Certificate, l *ledger.Live) *spec.Issuer {
	for _, i := range IssuersOf(desired, c)[1:] {
		if i != nil && i == IssuerOf(desired, c, l) {
			return i
		}
	}
	return nil
}

// fromTheFuture tells that a hold was stated by a clock that was ahead: it
// would last until that time comes.
func fromTheFuture(r *ledger.Record, now time.Time) bool {
	return r.LastFailure != nil && r.LastFailure.At.After(now.Add(keypair.MaxSkew))
}

// holdApplies tells whether a hold is over, or was another issuer's: the one
// that takes its turn is not held for the failures of the one before.
func holdApplies(h *ledger.Hold, issuer *spec.Issuer, now time.Time) bool {
	return h != nil && h.Until.After(now) && (h.Issuer == "" || h.Issuer == issuer.Name)
}

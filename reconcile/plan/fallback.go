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

// leastTurn is the shortest turn of an issuer.
const leastTurn = time.Hour

// issuerFor returns the issuer to order a certificate from now: the first of its list,
// unless that one has failed for fallback_after and expiry is near.
//
//	due ─────────────┬───────────────┬───────────── notAfter
//	  first failure  │ fallback_after│ the next one, and so on, each for as long
//	                 └ at most half of the window, and of what was left ┘
//
// The result depends only on the ledger, so a restart does not change it. After a
// successful renewal the first issuer comes first again.
func issuerFor(desired *spec.Spec, c *spec.Certificate, r *ledger.Record, l *ledger.Live, found map[ledger.Subject]*throttle.Circuit, now time.Time) (i *spec.Issuer, failing time.Time) {
	first := desired.Issuers[c.Issuer]
	// In the first half of the window the preferred issuer still has time to recover.
	if len(c.Fallbacks) == 0 || c.Renewal.FallbackAfter <= 0 || l != nil && l.RenewalEnd().Sub(now) > Window(c, l)/2 {
		return first, failing
	}
	// The certificate's own failures count, if the CA can be the cause. They are exact: the
	// record has the time of the first one.
	if r != nil && r.FailingSince != nil && r.LastFailure != nil && r.LastFailure.Class.AnotherIssuerMayHelp() {
		turn := int(now.Sub(*r.FailingSince)/turnOf(c, l, *r.FailingSince)) % (len(c.Fallbacks) + 1)
		if turn > 0 {
			return desired.Issuers[c.Fallbacks[turn-1]], *r.FailingSince
		}
	}
	// Otherwise the failures of other certificates count. While a breaker is open, this
	// certificate may never get its turn to fail.
	since := failsForMany(c, found)
	if since.IsZero() || now.Sub(since) < min(turnOf(c, l, since), longestFailing) {
		return first, failing
	}
	if turn := turnFromEnd(c, l, now); turn < len(c.Fallbacks) {
		return desired.Issuers[c.Fallbacks[turn]], since
	}
	return first, failing
}

// turnOf returns the length of an issuer's turn if the first issuer fails since a time. It
// is at most half of the time that was left then, so that the next issuer gets a turn
// before expiry.
func turnOf(c *spec.Certificate, l *ledger.Live, since time.Time) time.Duration {
	after := c.Renewal.FallbackAfter
	if l == nil {
		return after
	}
	return max(min(after, Window(c, l)/2, l.RenewalEnd().Sub(since)/2), leastTurn)
}

// longestFailing bounds the time that an issuer with an open breaker has to have failed:
// the history goes back archive.HistorySpan, and two probes may lie a day apart, so the
// first failure that the history shows may be younger than the outage.
const longestFailing = archive.HistorySpan - 2*times.Day

// failsForMany returns since when the breaker of a certificate's first issuer is open; zero
// if it is closed. The certificate itself may have no failure: certroll probes with one
// certificate at a time, and its turn may not come before it expires.
func failsForMany(c *spec.Certificate, found map[ledger.Subject]*throttle.Circuit) (since time.Time) {
	for _, s := range ledger.IssuerSubjects(c.Issuer, c.Names()) {
		if t := found[s]; t.Open() && (since.IsZero() || t.First.Before(since)) {
			since = t.First
		}
	}
	return since
}

// turnFromEnd returns whose turn it is while the first issuer's breaker is open, as an
// index into Fallbacks; len(Fallbacks) is the first issuer. It counts turns back from
// expiry, because the history does not show how long the breaker has been open:
//
//	half of the window ─ ... ─┬ first ─┬ second ─┬─ first ─┬─ second ─┐
//	                                                              notAfter
func turnFromEnd(c *spec.Certificate, l *ledger.Live, now time.Time) int {
	// Without a live certificate there is no expiry to count from; any fixed time will do,
	// so that all replicas agree.
	end, turn := time.Unix(0, 0), c.Renewal.FallbackAfter
	if l != nil {
		end, turn = l.RenewalEnd(), max(min(turn, Window(c, l)/2), leastTurn)
	}
	return int(end.Sub(now).Abs()/turn) % (len(c.Fallbacks) + 1)
}

// IssuersOf returns a certificate's issuers, the preferred one first.
func IssuersOf(desired *spec.Spec, c *spec.Certificate) []*spec.Issuer {
	list := []*spec.Issuer{desired.Issuers[c.Issuer]}
	for _, name := range c.Fallbacks {
		list = append(list, desired.Issuers[name])
	}
	return list
}

// IssuerOf returns the issuer block for the CA and account that issued a certificate; nil
// if the spec has none. People rename blocks, so the directory URL identifies the CA and
// not the name. If the block is gone or now names another CA, the certificate's own issuers
// at that CA come first, then any other issuer there.
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

// fallenBack returns the issuer of the live certificate if it is one of the fallbacks; nil
// if it is the preferred issuer or none of the list.
func fallenBack(desired *spec.Spec, c *spec.Certificate, l *ledger.Live) *spec.Issuer {
	for _, i := range IssuersOf(desired, c)[1:] {
		if i != nil && i == IssuerOf(desired, c, l) {
			return i
		}
	}
	return nil
}

// fromTheFuture reports whether a clock that was ahead set the hold. Such a hold would last
// until that clock's time comes.
func fromTheFuture(r *ledger.Record, now time.Time) bool {
	return r.LastFailure != nil && r.LastFailure.At.After(now.Add(keypair.MaxSkew))
}

// holdApplies reports whether a hold is unexpired and belongs to the issuer. An issuer that
// takes its turn does not wait for the failures of the previous one.
func holdApplies(h *ledger.Hold, issuer *spec.Issuer, now time.Time) bool {
	return h != nil && h.Until.After(now) && (h.Issuer == "" || h.Issuer == issuer.Name)
}

package plan

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"certroll/reconcile/archive"
	"certroll/reconcile/ledger"
	"certroll/reconcile/throttle"
	"certroll/reconcile/times"
	"certroll/spec"
)

// AskedSubjects returns the issuer of an action and the issuer's limits for its names: all
// subjects but the DNS accounts.
func AskedSubjects(a *Action) []ledger.Subject {
	return ledger.IssuerSubjects(a.Issuer.Name, a.Spec.Names())
}

// Known returns the circuits of all subjects with failures, from the history. It leaves out
// DNS accounts whose credentials changed since.
func Known(desired *spec.Spec, obs *Observed, history []ledger.Event) map[ledger.Subject]*throttle.Circuit {
	found, z := map[ledger.Subject]*throttle.Circuit{}, ZonedBy(desired)
	for _, e := range history {
		throttle.AddToCircuit(found, z.Fair(e))
	}
	throttle.Mended(found, obs.Credentials)
	return found
}

// HoldsAction reports whether the circuit is open for this action.
func HoldsAction(t *throttle.Circuit, a *Action) bool {
	return t.OpenFor(a.Certificate, a.Spec.Names())
}

// mayBeMended lets an action probe a failing subject at once if its certificate was the
// last to fail there, and its own hold has ended early. The hold ended because settings
// changed, and the change may be the cure. A rate limit's end still stands.
func mayBeMended(found map[ledger.Subject]*throttle.Circuit, asking []*Action, now time.Time) {
	for _, a := range asking {
		r := a.Record
		if r == nil || r.Hold == nil || !r.Hold.Until.After(now) || r.LastFailure == nil || !r.LastFailure.Operation.Orders() || r.LastFailure.Issuer != a.Issuer.Name {
			continue
		}
		subjects := AskedSubjects(a)
		for _, name := range a.Serving() {
			subjects = append(subjects, ledger.AccountSubject(name))
		}
		for _, s := range subjects {
			if t := found[s]; t != nil && t.By == a.Certificate {
				t.Mends = true
			}
		}
	}
}

// deadlineOf returns the time by which an action should finish: the expiry of the live
// certificate. A certificate that was never issued gets three days, so that a thousand new
// certificates do not starve one that is about to expire.
func deadlineOf(a *Action, now time.Time) time.Time {
	if l := a.Secret.Live; l != nil && a.Secret.Owner == a.Certificate && a.Secret.Readable {
		return l.RenewalEnd()
	}
	return now.Add(3 * times.Day)
}

// ByDeadline returns a comparison of actions by urgency, then by name.
func ByDeadline(now time.Time) func(a, b *Action) int {
	return func(a, b *Action) int {
		return cmp.Or(deadlineOf(a, now).Compare(deadlineOf(b, now)), cmp.Compare(a.Certificate, b.Certificate))
	}
}

// Tripped is an open breaker: of an issuer, one of its rate limits, or a DNS account.
type Tripped struct {
	Subject      string // "issuer.NAME", "issuer.NAME for DOMAIN", or "dns.NAME"
	Class        ledger.Class
	Since        time.Time // first failure
	Certificates int       // number of certificates that failed
	Message      string    // of the last failure
}

// TrippedIn lists the open breakers by subject. It reads the same circuits as Admit.
func TrippedIn(desired *spec.Spec, obs *Observed, now time.Time) []Tripped {
	found := Known(desired, obs, archive.Credible(obs.History, now))
	var list []Tripped
	for _, s := range slices.Sorted(maps.Keys(found)) {
		if t := found[s]; t.Open() {
			list = append(list, Tripped{Subject: string(s), Class: t.Class, Since: t.First, Certificates: len(t.Certificates), Message: t.Message})
		}
	}
	return list
}

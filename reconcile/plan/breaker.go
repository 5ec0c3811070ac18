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

// AskedSubjects are what an action has to do with besides its DNS accounts.
func AskedSubjects(a *Action) []ledger.Subject {
	return ledger.IssuerSubjects(a.Issuer.Name, a.Spec.Names())
}

// Known are the troubles that there are now.
func Known(desired *spec.Spec, obs *Observed, history []ledger.Event) map[ledger.Subject]*throttle.Circuit {
	found, z := map[ledger.Subject]*throttle.Circuit{}, ZonedBy(desired)
	for _, e := range history {
		throttle.AddToCircuit(found, z.Fair(e))
	}
	throttle.Mended(found, obs.Credentials)
	return found
}

// HoldsAction tells whether the subject is held for this action.
func HoldsAction(t *throttle.Circuit, a *Action) bool {
	return t.OpenFor(a.Certificate, a.Spec.Names())
}

// mayBeMended lets a trouble be probed at once where the certificate that met it
// last goes on before its own hold has ended: what it failed with is something
// else now, which may be the cure. The end of a rate limit stands.
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

// deadlineOf is when an action has to be done: when what is live expires.
// What was never there is taken to be wanted within some days, so that a
// thousand new certificates do not starve one that is about to expire.
func deadlineOf(a *Action, now time.Time) time.Time {
	if l := a.Secret.Live; l != nil && a.Secret.Owner == a.Certificate && a.Secret.Readable {
		return l.RenewalEnd()
	}
	return now.Add(3 * times.Day)
}

// ByDeadline orders actions by urgency.
func ByDeadline(now time.Time) func(a, b *Action) int {
	return func(a, b *Action) int {
		return cmp.Or(deadlineOf(a, now).Compare(deadlineOf(b, now)), cmp.Compare(a.Certificate, b.Certificate))
	}
}

// Tripped is an issuer, one of its limits, or a DNS account that is held as a
// whole because it fails for many certificates.
type Tripped struct {
	Subject      string // "issuer.NAME", "issuer.NAME for DOMAIN", or "dns.NAME"
	Class        ledger.Class
	Since        time.Time // the first of the failures
	Certificates int       // that it failed for
	Message      string    // of the last one
}

// TrippedIn lists them by subject: what admit goes by.
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

package reconcile

import (
	"maps"
	"slices"
	"time"

	"certroll/spec"
)

// Tripped is an issuer, one of its limits, or a DNS account that is held as a
// whole because it fails for many certificates.
type Tripped struct {
	Subject      string // "issuer.NAME", "issuer.NAME for DOMAIN", or "dns.NAME"
	Class        Class
	Since        time.Time // the first of the failures
	Certificates int       // that it failed for
	Message      string    // of the last one
}

// trippedIn lists them by subject: what admit goes by.
func trippedIn(desired *spec.Spec, obs *Observed, now time.Time) []Tripped {
	found := known(desired, obs, credible(obs.History, now))
	var list []Tripped
	for _, s := range slices.Sorted(maps.Keys(found)) {
		if t := found[s]; t.open() {
			list = append(list, Tripped{Subject: string(s), Class: t.class, Since: t.first, Certificates: len(t.certificates), Message: t.message})
		}
	}
	return list
}

package plan

import (
	"time"

	"certroll/reconcile/ledger"
)

// Destructions is a MetadataReader that remembers, for the secrets it read last, whether
// the data of their current version was destroyed.
type Destructions interface {
	// Destroyed reports whether the data of the secret's current version was destroyed.
	Destroyed(mount, path string) bool
}

// Gone returns the deletion of the live secret as observed now; nil if the secret is
// readable. If the record already describes the same version, Gone returns that entry,
// which has the earlier time.
func (a *Action) Gone(now time.Time) *ledger.Gone {
	if !a.IsGone() {
		return nil
	}
	s := a.Secret
	if g := a.Record.Gone; g != nil && g.Version == s.Version && g.Destroyed == (s.Destroyed || s.Version == 0) {
		return g
	}
	g := &ledger.Gone{At: s.DeletedAt, Version: s.Version, Destroyed: s.Destroyed || s.Version == 0}
	if g.At.IsZero() || g.At.After(now) {
		g.At = now
	}
	g.At = g.At.UTC().Truncate(time.Second)
	return g
}

package plan

import (
	"time"

	"certroll/reconcile/ledger"
)

// Destructions is a MetadataReader that remembers of the secrets that it was asked for
// last whether the data of their current versions was destroyed.
type Destructions interface {
	// Destroyed tells so of one of them.
	Destroyed(mount, path string) bool
}

// Gone is that, as it is seen now; nil where it is not so. What is known of the same
// version stands.
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

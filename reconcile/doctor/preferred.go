package doctor

import (
	"slices"

	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/spec"
)

// NoChainUpTo starts the CA adapter's note about a preferred chain that is not offered.
const NoChainUpTo = "no chain up to "

// PreferredOf returns the preferred chain of the issuer of a live certificate; "" if
// there is none, or if the issuer block now names another CA.
func PreferredOf(desired *spec.Spec, l *ledger.Live) string {
	i := desired.Issuers[l.Issuer]
	if i == nil || i.Directory != l.Directory {
		return ""
	}
	return i.PreferredChain
}

// Preferring returns the certificates with an issuer that prefers a chain.
func Preferring(desired *spec.Spec, certificates []*spec.Certificate) []*spec.Certificate {
	return slices.DeleteFunc(slices.Clone(certificates), func(c *spec.Certificate) bool {
		return !slices.ContainsFunc(plan.IssuersOf(desired, c), func(i *spec.Issuer) bool { return i != nil && i.PreferredChain != "" })
	})
}

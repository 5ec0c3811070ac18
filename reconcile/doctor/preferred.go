package doctor

import (
	"slices"

	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/spec"
)

// NoChainUpTo begins what the CA's side says of a preferred chain that is not offered.
const NoChainUpTo = "no chain up to "

// PreferredOf is the chain that the issuer of what is live prefers; "" where it
// prefers none, or is another one by now.
func PreferredOf(desired *spec.Spec, l *ledger.Live) string {
	i := desired.Issuers[l.Issuer]
	if i == nil || i.Directory != l.Directory {
		return ""
	}
	return i.PreferredChain
}

// Preferring are the certificates that one of the issuers with a preferred chain is
// to issue.
func Preferring(desired *spec.Spec, certificates []*spec.Certificate) []*spec.Certificate {
	return slices.DeleteFunc(slices.Clone(certificates), func(c *spec.Certificate) bool {
		return !slices.ContainsFunc(plan.IssuersOf(desired, c), func(i *spec.Issuer) bool { return i != nil && i.PreferredChain != "" })
	})
}

package reconcile

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"certroll/spec"
)

// chainsOffered finds issuers whose preferred_chain the CA did not offer to the
// certificate that it issued last, by what the record kept of that (chain_note).
// certificates are those that are looked at.
func chainsOffered(desired *spec.Spec, certificates []*spec.Certificate, records map[string]*Record) []Finding {
	newest := map[string]*spec.Certificate{} // by issuer and algorithm of the key
	live := func(c *spec.Certificate) *Live { return records[c.Name].Live }
	for _, c := range certificates {
		if !records[c.Name].holds() || preferredOf(desired, live(c)) == "" {
			continue
		}
		key := live(c).Issuer + " " + chainOf(live(c))
		if was := newest[key]; was == nil || live(c).IssuedAt.After(live(was).IssuedAt) {
			newest[key] = c
		}
	}
	var found []Finding
	for _, key := range slices.Sorted(maps.Keys(newest)) {
		c := newest[key]
		l := live(c)
		// A note about another chain than the one wanted now is of before the change.
		if !strings.Contains(l.ChainNote, noChainUpTo+strconv.Quote(preferredOf(desired, l))) {
			continue
		}
		found = append(found, Finding{
			Severity: SeverityWarning, Class: ClassConfig, About: "preferred_chain of issuer." + l.Issuer, Names: []string{},
			Message: "when " + c.Name + " was issued, on " + l.IssuedAt.UTC().Format("2006-01-02") + ", " + l.ChainNote,
			Advice:  "set preferred_chain to one that the CA offers, or remove it; until then each renewal gets the CA's default chain",
		})
	}
	return found
}

// noChainUpTo begins what the CA's side says of a preferred chain that is not offered.
const noChainUpTo = "no chain up to "

// preferredOf is the chain that the issuer of what is live prefers; "" where it
// prefers none, or is another one by now.
func preferredOf(desired *spec.Spec, l *Live) string {
	i := desired.Issuers[l.Issuer]
	if i == nil || i.Directory != l.Directory {
		return ""
	}
	return i.PreferredChain
}

// preferring are the certificates that one of the issuers with a preferred chain is
// to issue.
func preferring(desired *spec.Spec, certificates []*spec.Certificate) []*spec.Certificate {
	return slices.DeleteFunc(slices.Clone(certificates), func(c *spec.Certificate) bool {
		return !slices.ContainsFunc(issuersOf(desired, c), func(i *spec.Issuer) bool { return i != nil && i.PreferredChain != "" })
	})
}

// findChains looks at what the ledger knows of chains that CAs do not offer. A ledger
// that cannot be read is another one's finding.
func findChains(ctx context.Context, r *Reconciler, x *examining) {
	concerned := preferring(x.desired, x.certificates)
	if len(concerned) == 0 {
		return
	}
	tree, _, _, err := r.scribe.snapshot(ctx)
	if err != nil {
		return
	}
	records, err := ReadRecords(tree)
	if err != nil {
		return
	}
	for _, f := range chainsOffered(x.desired, concerned, records) {
		about := f.About
		x.note(f, slices.DeleteFunc(slices.Clone(concerned), func(c *spec.Certificate) bool {
			return !slices.ContainsFunc(issuersOf(x.desired, c), func(i *spec.Issuer) bool { return i != nil && about == "preferred_chain of issuer."+i.Name })
		}))
	}
}

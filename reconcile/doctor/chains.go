package doctor

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"certroll/reconcile/apply"
	"certroll/reconcile/archive"
	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/spec"
)

// chainsOffered finds issuers whose preferred_chain the CA did not offer for the latest
// certificate, from the chain_note of its record. certificates are the ones examined.
func chainsOffered(desired *spec.Spec, certificates []*spec.Certificate, records map[string]*ledger.Record) []ledger.Finding {
	newest := map[string]*spec.Certificate{} // by issuer and key algorithm
	live := func(c *spec.Certificate) *ledger.Live { return records[c.Name].Live }
	for _, c := range certificates {
		if !records[c.Name].HasSecret() || PreferredOf(desired, live(c)) == "" {
			continue
		}
		key := live(c).Issuer + " " + plan.ChainOf(live(c))
		if was := newest[key]; was == nil || live(c).IssuedAt.After(live(was).IssuedAt) {
			newest[key] = c
		}
	}
	var found []ledger.Finding
	for _, key := range slices.Sorted(maps.Keys(newest)) {
		c := newest[key]
		l := live(c)
		// A note about another chain is older than the current preferred_chain.
		if !strings.Contains(l.ChainNote, NoChainUpTo+strconv.Quote(PreferredOf(desired, l))) {
			continue
		}
		found = append(found, ledger.Finding{
			Severity: ledger.SeverityWarning, Class: ledger.ClassConfig, About: "preferred_chain of issuer." + l.Issuer, Names: []string{},
			Message: "when " + c.Name + " was issued, on " + l.IssuedAt.UTC().Format("2006-01-02") + ", " + l.ChainNote,
			Advice:  "set preferred_chain to one that the CA offers, or remove it; until then each renewal gets the CA's default chain",
		})
	}
	return found
}

// readRecords reads the ledger's records; none without a ledger, as in plan --check-dns. It
// ignores an unreadable ledger, which other checks report.
func readRecords(ctx context.Context, r *apply.Reconciler) map[string]*ledger.Record {
	if r.Writer.Ledger == nil {
		return nil
	}
	tree, _, _, err := r.Writer.Snapshot(ctx)
	if err != nil {
		return nil
	}
	records, err := archive.ReadRecords(tree)
	if err != nil {
		return nil
	}
	return records
}

// findChains adds findings about preferred chains.
func findChains(ctx context.Context, r *apply.Reconciler, x *examining) {
	concerned := Preferring(x.desired, x.certificates)
	if len(concerned) == 0 {
		return
	}
	for _, f := range chainsOffered(x.desired, concerned, readRecords(ctx, r)) {
		about := f.About
		x.note(f, slices.DeleteFunc(slices.Clone(concerned), func(c *spec.Certificate) bool {
			return !slices.ContainsFunc(plan.IssuersOf(x.desired, c), func(i *spec.Issuer) bool { return i != nil && about == "preferred_chain of issuer."+i.Name })
		}))
	}
}

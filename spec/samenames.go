package spec

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"certroll/spec/text"

	"github.com/hashicorp/hcl/v2"
)

// mostSameNames bounds the warnings of one decoding about sets of names.
const mostSameNames = 20

// SameNames are the certificates of which others have exactly the same names and ask
// the same CA, by set; each set in the order of the files.
func (s *Spec) SameNames() [][]*Certificate {
	bySet := make(map[[sha256.Size]byte][]*Certificate, len(s.Certificates))
	var order [][sha256.Size]byte
	for _, c := range s.Certificates {
		issuer := s.Issuers[c.Issuer]
		if issuer == nil || len(c.Domains) == 0 {
			continue // a mistake that is reported
		}
		names := c.Names()
		slices.Sort(names)
		set := sha256.Sum256([]byte(issuer.Directory + "\x00" + strings.Join(names, "\x00")))
		if bySet[set] = append(bySet[set], c); len(bySet[set]) == 2 {
			order = append(order, set)
		}
	}
	sets := make([][]*Certificate, len(order))
	for i, set := range order {
		sets[i] = bySet[set]
		slices.SortStableFunc(sets[i], func(a, b *Certificate) int {
			return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Range.Start.Byte, b.Range.Start.Byte))
		})
	}
	return sets
}

// SameNamesText says that others of a set have the names of one, and what that costs.
func SameNamesText(one *Certificate, set []*Certificate) string {
	var others []string
	for _, c := range set {
		switch {
		case c == one:
		case len(others) == mostShown:
			others = append(others, fmt.Sprintf("%d more", len(set)-1-mostShown))
		case len(others) < mostShown:
			others = append(others, fmt.Sprintf("%q at %s:%d", c.Name, c.Range.Filename, c.Range.Start.Line))
		}
	}
	return fmt.Sprintf("certificate %q has exactly the names that are also declared by %s; a CA counts all of them against its limit of identical sets", one.Name, strings.Join(others, ", "))
}

// warnSameNames reports each set once, at the last of its certificates.
func (d *decoder) warnSameNames() {
	sets := d.spec.SameNames()
	for _, set := range sets[:min(len(sets), mostSameNames)] {
		last := set[len(set)-1]
		d.report(&hcl.Diagnostic{Severity: hcl.DiagWarning, Summary: "Same names twice", Subject: &last.Range,
			Detail: text.UpperFirst(SameNamesText(last, set)) + ". Remove one, or leave it so where both are wanted."})
	}
	if more := len(sets) - mostSameNames; more > 0 {
		d.report(&hcl.Diagnostic{Severity: hcl.DiagWarning, Summary: "Same names twice", Detail: fmt.Sprintf("There are %d more such sets of names; they are not shown.", more)})
	}
}

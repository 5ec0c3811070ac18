package plan

import (
	"slices"

	"certroll/reconcile/ledger"
	"certroll/spec"
	"certroll/spec/text"
)

// MostInTurn bounds the certificates whose secrets one pull looks at though
// nothing speaks of them: what a pull asks Vault grows with what happened, and
// not with how many certificates there are. With as many or fewer all are
// looked at with each pull.
const MostInTurn = 1000

// Turns goes round a list of names for ever, some of them at a time. The list
// may change between two turns: a name is come by once a round all the same.
type Turns struct{ last string }

// Next are the n names, of a sorted list, whose turn it is.
func (t *Turns) Next(names []string, n int) []string {
	if len(names) <= n {
		return names
	}
	from, found := slices.BinarySearch(names, t.last)
	if found {
		from++
	}
	due := slices.Concat(names[from:min(from+n, len(names))], names[:max(from+n-len(names), 0)])
	t.last = due[n-1]
	return due
}

// Holders are the certificates that a secret may be there of, sorted.
func Holders(desired *spec.Spec, records map[string]*ledger.Record) []string {
	names := make([]string, 0, len(desired.Certificates))
	for _, c := range desired.Certificates {
		names = append(names, c.Name)
	}
	for name, r := range records {
		if r.HasSecret() {
			names = append(names, name)
		}
	}
	return text.SortedSet(names)
}

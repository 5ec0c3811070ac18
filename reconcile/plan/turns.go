package plan

import (
	"slices"

	"certroll/reconcile/ledger"
	"certroll/spec"
	"certroll/spec/text"
)

// MostInTurn bounds how many certificates one pull reads from Vault although no event
// concerns them. KV v2 has no bulk metadata read, so the requests of a pull should grow
// with the number of events and not of certificates. Up to this number, each pull reads all
// of them.
const MostInTurn = 1000

// Turns walks a list of names round and round, n at a time. It remembers the last name, so
// that the list may change between two turns and every name still comes up once per round.
type Turns struct{ last string }

// Next returns the next n names of a sorted list.
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

// Holders returns the certificates that may have a secret, sorted.
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

package plan

import (
	"maps"
	"slices"

	"certroll/reconcile/ledger"
	"certroll/spec"
)

// SubjectsOf are the issuer and the DNS accounts that an action tries first: one,
// unless its names lie in zones of several.
func SubjectsOf(a *Action) []ledger.Subject {
	list := []ledger.Subject{ledger.IssuerSubject(a.Issuer.Name)}
	for _, name := range a.firstTried() {
		list = append(list, ledger.AccountSubject(name))
	}
	return list
}

// Which DNS account is in charge of a name is stated by its zones:
//
//	dns = [dns.com, dns.net, dns.any]     dns.com: zones example.com
//	                                      dns.net: zones example.net
//	a.example.com   a way: dns.com, then dns.any
//	b.example.net   a way: dns.net, then dns.any
//
// An action goes where each of its names has a way, and waits where one has none: the
// account of another zone cannot stand in. Failures for names that are not an
// account's speak against nobody.

// WaysOf are the lists of accounts by which the names of a certificate can be proven,
// each list once, in the order they are tried; nil where each name has all accounts.
func WaysOf(desired *spec.Spec, c *spec.Certificate) [][]string {
	if len(c.DNS) < 2 {
		return nil
	}
	accounts := make([]*spec.DNSAccount, 0, len(c.DNS))
	for _, name := range c.DNS {
		if a := desired.DNS[name]; a != nil {
			accounts = append(accounts, a)
		}
	}
	var ways [][]string
	for _, name := range c.Names() {
		able := spec.Able(accounts, name)
		way := make([]string, len(able))
		for i, a := range able {
			way[i] = a.Name
		}
		if len(way) == 0 {
			way = c.DNS // nobody, as far as is known: it is seen when it is tried
		}
		if !slices.ContainsFunc(ways, func(w []string) bool { return slices.Equal(w, way) }) {
			ways = append(ways, way)
		}
	}
	return ways
}

// eachWay are the action's ways.
func (a *Action) eachWay() [][]string {
	if len(a.Ways) == 0 {
		return [][]string{a.Spec.DNS}
	}
	return a.Ways
}

// Serving are the accounts that can prove one of its names, in the order of the spec.
func (a *Action) Serving() []string {
	if len(a.Ways) == 0 {
		return a.Spec.DNS
	}
	return slices.DeleteFunc(slices.Clone(a.Spec.DNS), func(name string) bool {
		return !slices.ContainsFunc(a.Ways, func(way []string) bool { return slices.Contains(way, name) })
	})
}

// ShutWay is a way of which all accounts are to be avoided; nil where there is none.
func (a *Action) ShutWay(avoid []string) []string {
	for _, way := range a.eachWay() {
		if !slices.ContainsFunc(way, func(name string) bool { return !slices.Contains(avoid, name) }) {
			return way
		}
	}
	return nil
}

// firstTried are the accounts that its names are tried with first.
func (a *Action) firstTried() []string {
	var first []string
	for _, way := range a.eachWay() {
		name := way[0]
		for _, n := range way {
			if !slices.Contains(a.Avoid, n) {
				name = n
				break
			}
		}
		if !slices.Contains(first, name) {
			first = append(first, name)
		}
	}
	return first
}

// needs tells whether one of its names can be proven by that account alone, where
// others have accounts of their own.
func (a *Action) needs(account string) bool {
	return slices.ContainsFunc(a.Ways, func(way []string) bool { return len(way) == 1 && way[0] == account })
}

// Zoned knows which names an account is in charge of. A nil one knows of no zones.
type Zoned struct{ *spec.Spec }

// ZonedBy is what the spec says of that.
func ZonedBy(desired *spec.Spec) *Zoned {
	for _, a := range desired.DNS {
		if len(a.Zones) > 0 {
			return &Zoned{desired}
		}
	}
	return nil
}

// Fair is an event without what it says against accounts that were not in charge of
// any of its names: they may be of another zone, or have been asked before they
// stated theirs.
func (z *Zoned) Fair(e ledger.Event) ledger.Event {
	if z == nil || e.DNSAccount == "" && len(e.PassedOver) == 0 {
		return e
	}
	if len(e.PassedOver) > 0 {
		e.PassedOver = slices.DeleteFunc(slices.Clone(e.PassedOver), func(p ledger.PassedOver) bool { return !z.inCharge(p.Account, e, e.Names) })
	}
	names := e.FailedNames
	if len(names) == 0 {
		names = e.Names
	}
	if e.Status == ledger.Failed && e.DNSAccount != "" && !z.inCharge(e.DNSAccount, e, names) {
		e.DNSAccount = ""
	}
	return e
}

// inCharge tells whether an account is, of one of the names at least. Without names
// it is, as far as is known.
func (z *Zoned) inCharge(account string, e ledger.Event, names []string) bool {
	a := z.DNS[account]
	if a == nil || len(a.Zones) == 0 || len(names) == 0 {
		return true
	}
	// Of a certificate that is gone any account may have been in charge.
	accounts := slices.Collect(maps.Values(z.DNS))
	if c := z.Certificate(e.Certificate); c != nil && slices.Contains(c.DNS, account) {
		accounts = slices.DeleteFunc(accounts, func(other *spec.DNSAccount) bool { return !slices.Contains(c.DNS, other.Name) })
	}
	return slices.ContainsFunc(names, func(name string) bool { return slices.Contains(spec.Able(accounts, name), a) })
}

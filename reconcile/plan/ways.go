package plan

import (
	"maps"
	"slices"

	"certroll/reconcile/ledger"
	"certroll/spec"
)

// SubjectsOf returns the issuer and the DNS accounts that an action tries first: one
// account, unless its names are in the zones of several.
func SubjectsOf(a *Action) []ledger.Subject {
	list := []ledger.Subject{ledger.IssuerSubject(a.Issuer.Name)}
	for _, name := range a.firstTried() {
		list = append(list, ledger.AccountSubject(name))
	}
	return list
}

// The zones of a DNS account state which names it serves:
//
//	dns = [dns.com, dns.net, dns.any]     dns.com: zones example.com
//	                                      dns.net: zones example.net
//	a.example.com   a way: dns.com, then dns.any
//	b.example.net   a way: dns.net, then dns.any
//
// An action runs if each of its names has a way, and waits if one has none: an account of
// another zone cannot stand in. A failure for a name outside an account's zones does not
// count against that account.

// WaysOf returns the lists of DNS accounts that can answer the challenges of a
// certificate's names: each list once, in the order of use. nil means that every name has
// all accounts.
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
			way = c.DNS // no zone matches as far as the spec states; the attempt will show
		}
		if !slices.ContainsFunc(ways, func(w []string) bool { return slices.Equal(w, way) }) {
			ways = append(ways, way)
		}
	}
	return ways
}

// eachWay returns the action's ways; without zones that is the list of all its accounts.
func (a *Action) eachWay() [][]string {
	if len(a.Ways) == 0 {
		return [][]string{a.Spec.DNS}
	}
	return a.Ways
}

// Serving returns the accounts that can serve one of its names, in the order of the spec.
func (a *Action) Serving() []string {
	if len(a.Ways) == 0 {
		return a.Spec.DNS
	}
	return slices.DeleteFunc(slices.Clone(a.Spec.DNS), func(name string) bool {
		return !slices.ContainsFunc(a.Ways, func(way []string) bool { return slices.Contains(way, name) })
	})
}

// ShutWay returns a way all of whose accounts are to be avoided; nil if there is none.
func (a *Action) ShutWay(avoid []string) []string {
	for _, way := range a.eachWay() {
		if !slices.ContainsFunc(way, func(name string) bool { return !slices.Contains(avoid, name) }) {
			return way
		}
	}
	return nil
}

// firstTried returns the account that each way tries first.
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

// needs reports whether only this account can serve one of the action's names, while other
// names have other accounts.
func (a *Action) needs(account string) bool {
	return slices.ContainsFunc(a.Ways, func(way []string) bool { return len(way) == 1 && way[0] == account })
}

// Zoned reports which names a DNS account serves. A nil Zoned knows no zones.
type Zoned struct{ *spec.Spec }

// ZonedBy returns the zones that a spec states; nil if it states none.
func ZonedBy(desired *spec.Spec) *Zoned {
	for _, a := range desired.DNS {
		if len(a.Zones) > 0 {
			return &Zoned{desired}
		}
	}
	return nil
}

// Fair returns an event without its evidence against accounts that serve none of its names.
// Such an account may be of another zone, or the attempt came before the spec stated its
// zones.
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

// inCharge reports whether the account serves one of the names. Without zones or names the
// answer is true.
func (z *Zoned) inCharge(account string, e ledger.Event, names []string) bool {
	a := z.DNS[account]
	if a == nil || len(a.Zones) == 0 || len(names) == 0 {
		return true
	}
	// If the certificate is gone, any account may have served it.
	accounts := slices.Collect(maps.Values(z.DNS))
	if c := z.Certificate(e.Certificate); c != nil && slices.Contains(c.DNS, account) {
		accounts = slices.DeleteFunc(accounts, func(other *spec.DNSAccount) bool { return !slices.Contains(c.DNS, other.Name) })
	}
	return slices.ContainsFunc(names, func(name string) bool { return slices.Contains(spec.Able(accounts, name), a) })
}

package spec

import (
	"net/netip"
	"slices"
	"strings"
)

// Holds tells whether the account states a zone that a name lies in. A wildcard lies
// where its domain does.
func (a *DNSAccount) Holds(name string) bool {
	name = strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(name, "*."), "."))
	for _, zone := range a.Zones {
		if name == zone || strings.HasSuffix(name, "."+zone) {
			return true
		}
	}
	return false
}

// InOrder are those of a certificate's accounts that may prove a name, in the order
// they are tried: those that state its zone, then those that state none, then those
// that only a CNAME could lead to. What is to be avoided comes last.
func InOrder(accounts []*DNSAccount, name string) []*DNSAccount {
	stated, open, led := byCharge(accounts, name)
	list := slices.Concat(stated, open, led)
	slices.SortStableFunc(list, func(a, b *DNSAccount) int { return boolRank(a.Avoided) - boolRank(b.Avoided) })
	return list
}

// Able are those of a certificate's accounts that are counted on for a name, in the
// order they are tried. Where one states the name's zone, an account of other zones is
// not among them: a CNAME would have to lead away from where the name is said to be.
func Able(accounts []*DNSAccount, name string) []*DNSAccount {
	stated, open, led := byCharge(accounts, name)
	if len(stated) > 0 {
		return slices.Concat(stated, open)
	}
	return slices.Concat(open, led)
}

func byCharge(accounts []*DNSAccount, name string) (stated, open, led []*DNSAccount) {
	for _, a := range accounts {
		switch {
		case !a.MayProve(name):
		case a.Holds(name):
			stated = append(stated, a)
		case len(a.Zones) == 0:
			open = append(open, a)
		default:
			led = append(led, a)
		}
	}
	return stated, open, led
}

// MayProve tells whether the account can answer for a name: only DNS proves a wildcard
// (RFC 8555 section 7.1.3), it cannot prove an address (RFC 8738 section 7), and an
// account that states its zones answers for those. A CNAME may lead from another zone
// into one of them, which is known only when it is followed.
func (a *DNSAccount) MayProve(name string) bool {
	_, err := netip.ParseAddr(name)
	switch {
	case strings.HasPrefix(name, "*.") && a.Challenge != DNS01, err == nil && a.Challenge == DNS01:
		return false
	default:
		return len(a.Zones) == 0 || a.Holds(name) || a.Challenge == DNS01 && a.FollowCNAME
	}
}

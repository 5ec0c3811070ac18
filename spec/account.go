package spec

import (
	"net/netip"
	"slices"
	"strings"

	"certroll/spec/providers"
)

// oneName are the providers that can write the one name that the CNAME leads to
// and no other: their servers make it up, and nothing else is at it.
var oneName = []string{"acme-dns"}

// Writes tells whether the answer to a challenge may be written at a name that
// CNAMEs lead to. A team that has its own zone could else have any TXT record of
// the account's zones replaced: an SPF or a DMARC record, another's challenge.
func (a *DNSAccount) Writes(target string) bool {
	target = strings.ToLower(strings.TrimSuffix(target, "."))
	within := func(zone string) bool { return target == zone || strings.HasSuffix(target, "."+zone) }
	return strings.HasPrefix(target, "_acme-challenge.") || slices.ContainsFunc(a.Reach.Zones, within) ||
		a.Reach.LedAnywhere || slices.Contains(a.Reach.Led, target) || slices.Contains(oneName, a.Provider)
}

// CheckResolved checks the variables of an account that hold an address, once
// references were followed. The answer names the variable and not its value,
// which may be a secret by mistake; "" where all may be reached.
func (a *DNSAccount) CheckResolved(values map[string]string) (refused string) {
	if a.Reach.Anything || a.Provider == "httpreq" {
		return ""
	}
	for name, text := range values {
		if a.Credentials[name].Source == Literal {
			continue // checked when it was decoded
		}
		good := true
		switch kind := providers.KindOf(name); kind {
		case providers.URL, providers.Host, providers.Server, providers.Realm:
			host, port, ok := ParseEndpoint(kind, text)
			good = ok && a.Reach.Names(host, port)
		case providers.Label:
			good = providers.IsLabel(text)
		case providers.Choice:
			good = providers.IsChoice(name, text)
		case providers.Ambient:
			good = a.Reach.Ambient || !providers.ChoosesAmbient(name, text)
		case providers.Plain, providers.Unclassified:
		}
		if !good {
			return name
		}
	}
	return ""
}

// TXTEffect is what the account's provider does to the TXT records of others.
// credentials are its variables after references were followed.
func (a *DNSAccount) TXTEffect(credentials map[string]string) providers.TXTEffect {
	if a.Provider == "rfc2136" && negotiates(credentials) {
		return providers.ReplacesTXT // our own record updates know no GSS-TSIG; see package dnschild
	}
	return providers.TXTEffectOf(a.Provider)
}

// negotiates tells whether an rfc2136 account signs by GSS-TSIG (RFC 3645).
func negotiates(credentials map[string]string) bool {
	for _, name := range []string{"DNSUPDATE_TSIG_ALGORITHM", "RFC2136_TSIG_ALGORITHM"} {
		if strings.HasPrefix(strings.ToLower(credentials[name]), "gss-tsig") {
			return true
		}
	}
	return false
}

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

func boolRank(b bool) int {
	if b {
		return 1
	}
	return 0
}

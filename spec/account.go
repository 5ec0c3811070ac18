package spec

import (
	"net/netip"
	"slices"
	"strings"

	"certroll/spec/providers"
)

// oneName lists the providers that can write exactly one name, the target of the CNAME.
// Their server chooses that name and keeps no other record there.
var oneName = []string{"acme-dns"}

// Writes reports whether certroll may write the answer to a challenge at target, a name
// that a CNAME at _acme-challenge leads to. Without this check, a team with its own zone
// could point a CNAME at any TXT record of the account's zones and have it replaced: an
// SPF or DMARC record, or another team's challenge.
func (a *DNSAccount) Writes(target string) bool {
	target = strings.ToLower(strings.TrimSuffix(target, "."))
	within := func(zone string) bool { return target == zone || strings.HasSuffix(target, "."+zone) }
	return strings.HasPrefix(target, "_acme-challenge.") || slices.ContainsFunc(a.Reach.Zones, within) ||
		a.Reach.LedAnywhere || slices.Contains(a.Reach.Led, target) || slices.Contains(oneName, a.Provider)
}

// CheckResolved checks the variables that contain an address, after certroll followed
// their references. It returns the name of the first variable that fails, "" if all pass.
// It never returns the value, which may be a secret that somebody put into the wrong
// variable.
func (a *DNSAccount) CheckResolved(values map[string]string) (refused string) {
	if a.Reach.Anything || a.Provider == "httpreq" {
		return ""
	}
	for name, text := range values {
		if a.Credentials[name].Source == Literal {
			continue // the decoder checked it
		}
		good := true
		switch kind := providers.KindOf(name); kind {
		case providers.URL, providers.Host, providers.Server, providers.Realm:
			host, port, ok := ParseEndpoint(kind, text)
			good = ok && a.Reach.Names(host, port)
		case providers.Label:
			good = providers.IsLabel(text)
		case providers.Port:
			_, good = providers.ParsePort(text)
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
	return a.checkPorts(values)
}

// checkPorts checks the ports in variables of their own together with their hosts, where
// one of the two is a reference.
func (a *DNSAccount) checkPorts(values map[string]string) (refused string) {
	for name, of := range providers.HostOfPort() {
		port, there := values[name]
		if !there || a.Credentials[name].Source == Literal && a.Credentials[of].Source == Literal {
			continue
		}
		n, isPort := providers.ParsePort(port)
		host, _, isHost := ParseEndpoint(providers.Host, values[of])
		if !isPort || isHost && !a.Reach.Names(host, n) {
			return name
		}
	}
	return ""
}

// TXTEffect returns how the account's provider treats TXT records that certroll did not
// write. credentials are the account's variables, with references resolved.
func (a *DNSAccount) TXTEffect(credentials map[string]string) providers.TXTEffect {
	if a.Provider == "rfc2136" && negotiates(credentials) {
		return providers.ReplacesTXT // certroll's own record updates do not implement GSS-TSIG; see package dnschild
	}
	return providers.TXTEffectOf(a.Provider)
}

// negotiates reports whether an rfc2136 account signs with GSS-TSIG (RFC 3645).
func negotiates(credentials map[string]string) bool {
	for _, name := range []string{"DNSUPDATE_TSIG_ALGORITHM", "RFC2136_TSIG_ALGORITHM"} {
		if strings.HasPrefix(strings.ToLower(credentials[name]), "gss-tsig") {
			return true
		}
	}
	return false
}

// Contains reports whether one of the account's zones contains name. A wildcard lies in the
// same zone as its domain.
func (a *DNSAccount) Contains(name string) bool {
	name = strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(name, "*."), "."))
	for _, zone := range a.Zones {
		if name == zone || strings.HasSuffix(name, "."+zone) {
			return true
		}
	}
	return false
}

// InOrder returns the accounts that may prove a name, in the order certroll tries them:
// first the accounts that state the name's zone, then the accounts without zones, then
// the accounts that only a CNAME could lead to. Avoided accounts come last.
func InOrder(accounts []*DNSAccount, name string) []*DNSAccount {
	stated, open, led := byCharge(accounts, name)
	list := slices.Concat(stated, open, led)
	slices.SortStableFunc(list, func(a, b *DNSAccount) int { return boolRank(a.Avoided) - boolRank(b.Avoided) })
	return list
}

// Able returns the accounts that certroll counts on for a name, in the order it tries
// them. If one account states the name's zone, accounts of other zones are left out: they
// could only help if a CNAME led out of the stated zone.
func Able(accounts []*DNSAccount, name string) []*DNSAccount {
	stated, open, led := byCharge(accounts, name)
	if len(stated) > 0 {
		return slices.Concat(stated, open)
	}
	return slices.Concat(open, led)
}

// byCharge sorts the accounts that may prove a name: stated have a zone that contains the
// name, open state no zones, and led state only other zones.
func byCharge(accounts []*DNSAccount, name string) (stated, open, led []*DNSAccount) {
	for _, a := range accounts {
		switch {
		case !a.MayProve(name):
		case a.Contains(name):
			stated = append(stated, a)
		case len(a.Zones) == 0:
			open = append(open, a)
		default:
			led = append(led, a)
		}
	}
	return stated, open, led
}

// MayProve reports whether the account can answer a challenge for name. Only DNS proves a
// wildcard (RFC 8555 section 7.1.3), and DNS cannot prove an address (RFC 8738 section
// 7). An account with zones answers for names in them. With FollowCNAME it may also
// answer for other names, because a CNAME can lead from them into one of its zones;
// certroll knows that only after it followed the CNAME.
func (a *DNSAccount) MayProve(name string) bool {
	_, err := netip.ParseAddr(name)
	switch {
	case strings.HasPrefix(name, "*.") && a.Challenge != DNS01, err == nil && a.Challenge == DNS01:
		return false
	default:
		return len(a.Zones) == 0 || a.Contains(name) || a.Challenge == DNS01 && a.FollowCNAME
	}
}

func boolRank(b bool) int {
	if b {
		return 1
	}
	return 0
}

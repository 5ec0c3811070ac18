package spec

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"certroll/spec/text"
)

// ProbeRules say where certroll may connect to for a probe. Whoever may change
// the config repo would else have it look into the network that it stands in,
// and read in Git what came of it. Two things are asked:
//
//	the host as it is written   is a name of the certificate, or is allowed
//	each address it leads to    is public, or is allowed
//
// A name that is allowed opens no address: what it leads to is up to whoever
// has its DNS.
type ProbeRules []probeRule

type probeRule struct {
	pattern NamePattern
	port    uint16 // 0: any
}

// ParseProbeRules reads what certroll.hcl allows: "*.example.com:443",
// "10.0.0.0/8:*". why says what is wrong with which.
func ParseProbeRules(allow []string) (rules ProbeRules, why string) {
	for _, typed := range allow {
		r, why := parseProbeRule(typed)
		if why != "" {
			return nil, strconv.Quote(text.Short(typed)) + ": " + why
		}
		rules = append(rules, r)
	}
	return rules, ""
}

func parseProbeRule(typed string) (r probeRule, why string) {
	i := strings.LastIndexByte(typed, ':')
	if i < 0 {
		return r, "the port is missing; write \"HOST:443\", or \"HOST:*\" for any"
	}
	host, port := typed[:i], typed[i+1:]
	if port != "*" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return r, "the port is a number from 1 to 65535, or * for any"
		}
		r.port = uint16(n)
	}
	host = strings.NewReplacer("[", "", "]", "").Replace(host)
	r.pattern, why = ParseNamePattern(host)
	return r, why
}

func (r probeRule) takes(d Domain, port uint16) bool {
	return (r.port == 0 || r.port == port) && r.pattern.Covers(d)
}

// Dials tells whether an address may be connected to.
func (rules ProbeRules) Dials(at netip.AddrPort) bool {
	addr := at.Addr().Unmap()
	if addr.Zone() != "" {
		return false
	}
	d := Domain{ASCII: addr.String(), IP: addr}
	return isPublic(addr) || slices.ContainsFunc(rules, func(r probeRule) bool { return r.takes(d, at.Port()) })
}

// inner are the ranges that are not private, loopback, link-local or multicast
// by netip's word, and yet no part of the public Internet (IANA's registries of
// special-purpose addresses, RFC 6890), or that lead to others by translation.
var inner = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"),    // carriers' and clouds' own (RFC 6598)
	netip.MustParsePrefix("168.63.129.16/32"), // a cloud's host agent at a public address
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("::/96"),        // IPv4-compatible
	netip.MustParsePrefix("64:ff9b::/96"), // NAT64: an IPv4 address is inside
	netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("2001::/32"), // Teredo
	netip.MustParsePrefix("2002::/16"), // 6to4
	netip.MustParsePrefix("fec0::/10"), // site-local
}

func isPublic(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !a.IsPrivate() && !slices.ContainsFunc(inner, func(p netip.Prefix) bool { return p.Contains(a) })
}

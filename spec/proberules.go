package spec

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"certroll/spec/text"
)

// ProbeRules limit where certroll may connect for a probe. Without them, everyone who can
// change the config repo could make certroll scan its own network, and read the results
// in Git. certroll checks two things:
//
//	the host as written              is a name of the certificate, or a rule allows it
//	each address it resolves to      is public, or a rule allows it
//
// A rule for a name allows no private address, because the owner of the name's DNS
// decides where it leads.
type ProbeRules []probeRule

type probeRule struct {
	pattern NamePattern
	port    uint16 // 0 means any
}

// ParseProbeRules reads the rules of certroll.hcl: "*.example.com:443", "10.0.0.0/8:*".
// why names the first faulty rule and its mistake.
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

// parseProbeRule reads "HOST:PORT". It splits at the last colon, because an IPv6 address
// contains colons and may stand without brackets.
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

// Dials reports whether certroll may connect to an address.
func (rules ProbeRules) Dials(at netip.AddrPort) bool {
	addr := at.Addr().Unmap()
	if addr.Zone() != "" {
		return false
	}
	d := Domain{ASCII: addr.String(), IP: addr}
	return isPublic(addr) || slices.ContainsFunc(rules, func(r probeRule) bool { return r.takes(d, at.Port()) })
}

// inner are ranges that netip does not class as private, loopback, link-local or
// multicast, but that are not part of the public Internet (IANA's registries of
// special-purpose addresses, RFC 6890), or that reach other addresses by translation.
var inner = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"),    // shared address space of carriers and clouds (RFC 6598)
	netip.MustParsePrefix("168.63.129.16/32"), // the host agent of a cloud, at a public address
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("::/96"),        // IPv4-compatible
	netip.MustParsePrefix("64:ff9b::/96"), // NAT64: contains an IPv4 address
	netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("2001::/32"), // Teredo
	netip.MustParsePrefix("2002::/16"), // 6to4
	netip.MustParsePrefix("fec0::/10"), // site-local
}

func isPublic(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !a.IsPrivate() && !slices.ContainsFunc(inner, func(p netip.Prefix) bool { return p.Contains(a) })
}

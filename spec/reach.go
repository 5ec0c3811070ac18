package spec

import (
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"certroll/spec/providers"
)

// Reach says which addresses a connection on behalf of an issuer or a DNS
// account may lead to. The zero value is strict: public addresses alone.
//
// Two things are checked, as for probes (see ProbeRules): the host as written,
// when the config repo is decoded, and each address, when it is connected to.
type Reach struct {
	// Anything: the block stands in certroll.hcl, whose author may reach all.
	Anything bool
	Rules    ProbeRules // trust.endpoints
	// Ambient: the machine's own identities may be used (trust.ambient).
	Ambient bool
	// Zones are those that a CNAME at _acme-challenge may lead into besides
	// names that begin with _acme-challenge (dns.cname_zones of certroll.hcl), and
	// Led the names that it led to when the certificate was issued last.
	Zones, Led []string
	// LedAnywhere: the certificate was issued last by a certroll that did not
	// note where CNAMEs led.
	LedAnywhere bool
}

// Dials tells whether an address may be connected to.
func (r Reach) Dials(at netip.AddrPort) bool { return r.Anything || r.Rules.Dials(at) }

// Names tells whether a host may be named: an address where it may be connected
// to, a name where a rule says so.
func (r Reach) Names(host string, port uint16) bool {
	if r.Anything {
		return true
	}
	name, why := ParseHost(strings.TrimSuffix(host, "."))
	if why != "" {
		return false
	}
	ip, _ := netip.ParseAddr(name)
	return slices.ContainsFunc(r.Rules, func(rule probeRule) bool { return rule.takes(Domain{ASCII: name, IP: ip}, port) })
}

// endpointText is an address as certroll and every provider read it alike.
var endpointText = regexp.MustCompile(`^(?:(https?)://)?([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?(?:/[A-Za-z0-9._~/%@:=&?+,;-]*)?$`)

// ParseEndpoint reads the host and the port of an address that a variable holds.
func ParseEndpoint(kind providers.Kind, text string) (host string, port uint16, ok bool) {
	m := endpointText.FindStringSubmatch(text)
	usual := uint64(443)
	switch {
	case m == nil && kind == providers.Server && net.ParseIP(text) != nil: // an IPv6 address without brackets
		return text, 53, true
	case m == nil:
		return "", 0, false
	case kind == providers.Server:
		usual = 53
	case kind == providers.Realm:
		usual = 88
	case m[1] == "http":
		usual = 80
	}
	if m[3] != "" {
		n, err := strconv.ParseUint(m[3], 10, 16)
		if err != nil || n == 0 {
			return "", 0, false
		}
		usual = n
	}
	return strings.Trim(m[2], "[]"), uint16(usual), true
}

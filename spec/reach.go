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

// Reach limits the addresses that certroll may connect to for an issuer or a DNS account.
// The zero value is strict: public addresses only.
//
// As for probes (see ProbeRules), certroll checks two things: the host as written, when
// it decodes the config repo, and each address, before it connects.
type Reach struct {
	// Anything lifts the limit: the block stands in certroll.hcl, whose author may reach
	// every address.
	Anything bool
	Rules    ProbeRules // trust.endpoints
	// Ambient allows the machine's own identities (trust.ambient).
	Ambient bool
	// Zones are the zones that a CNAME at _acme-challenge may lead into, besides names
	// that begin with _acme-challenge (dns.cname_zones of certroll.hcl). Led are the
	// targets that CNAMEs led to when the certificate was last issued.
	Zones, Led []string
	// LedAnywhere is set if an older certroll, which did not record the targets of
	// CNAMEs, issued the certificate last.
	LedAnywhere bool
}

// Dials reports whether certroll may connect to an address.
func (r Reach) Dials(at netip.AddrPort) bool { return r.Anything || r.Rules.Dials(at) }

// Names reports whether a block may name a host: an address or a name that a rule covers.
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

// endpointText matches the addresses that certroll and all providers parse alike. With
// any other form, a provider could connect to another host than the one certroll checked.
var endpointText = regexp.MustCompile(`^(?:(https?)://)?([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?(?:/[A-Za-z0-9._~/%@:=&?+,;-]*)?$`)

// ParseEndpoint reads the host and port of an address in a provider's variable. Without a
// port it returns the default port of the kind.
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

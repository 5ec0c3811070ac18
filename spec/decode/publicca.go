package decode

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"golang.org/x/net/publicsuffix"

	"certroll/spec"
)

// Names that public CAs refuse give a warning, not an error: a CA may change its rules,
// and an accepted revision must stay accepted. Other directories get no warning: a
// private CA issues for any name.

const (
	// mostCautions bounds these warnings, because a decoding shows a limited number of
	// warnings.
	mostCautions = 50
	// mostShown is the number of names in one warning.
	mostShown = 5
)

// add adds an issuer and a name to the warning at a place, and creates the warning if
// there is room.
func (c *cautions) add(summary, why, issuer, name string, at, block *hcl.Range) {
	key := summary + "\x00" + why + "\x00" + at.String()
	one := c.index[key]
	if one == nil {
		if len(c.list) == mostCautions {
			c.more++
			return
		}
		if c.index == nil {
			c.index = map[string]*caution{}
		}
		one = &caution{summary: summary, why: why, at: at, block: block}
		c.index[key], c.list = one, append(c.list, one)
	}
	one.issuers, one.names = withNew(one.issuers, issuer), withNew(one.names, name)
}

func withNew(list []string, text string) []string {
	if slices.Contains(list, text) || len(list) > 10*mostShown {
		return list
	}
	return append(list, text)
}

// tell reports the collected warnings.
func (d *decoder) tell(c *cautions) {
	for _, one := range c.list {
		verb := "refuses"
		if len(one.issuers) > 1 {
			verb = "refuse"
		}
		detail := fmt.Sprintf("issuer.%s %s %s: %s.", strings.Join(one.issuers, " and issuer."), verb, shownNames(one.names), one.why)
		d.Report(&hcl.Diagnostic{Severity: hcl.DiagWarning, Summary: one.summary, Detail: detail, Subject: one.at, Context: one.block})
	}
	if c.more > 0 {
		d.Report(&hcl.Diagnostic{Severity: hcl.DiagWarning, Summary: "More names that public CAs refuse",
			Detail: fmt.Sprintf("There are %d more such warnings; they are not shown.", c.more)})
	}
}

func shownNames(names []string) string {
	if len(names) <= mostShown {
		return strings.Join(names, ", ")
	}
	return strings.Join(names[:mostShown], ", ") + ", and more"
}

// checkPublic finds names that a public CA refuses: reserved names, and names that a
// wildcard of the same certificate covers.
func (c *certificates) checkPublic(b *body, cert *spec.Certificate, name string, places []*hcl.Range) {
	issuer := c.spec.Issuers[name]
	if issuer == nil || !issuer.IsPublicCA() {
		return
	}
	limit, known := spec.CapsOf(issuer)
	wildcards := map[string]bool{}
	for _, d := range cert.Domains {
		if d.Wildcard {
			wildcards[strings.TrimPrefix(d.ASCII, "*.")] = true
		}
	}
	for i, d := range cert.Domains {
		if d.IP.IsValid() && known && !limit.IPs {
			continue // checkIssuer reported it
		}
		if why := reserved(d); why != "" {
			c.cautions.add("Reserved name", why, name, d.Typed, places[i], b.Whole)
		}
		if _, parent, ok := strings.Cut(d.ASCII, "."); ok && !d.Wildcard && !d.IP.IsValid() && wildcards[parent] {
			c.cautions.add("Redundant name", "*."+parent+" of the same certificate covers it; leave it out", name, d.Typed, places[i], b.Whole)
		}
	}
}

// reservedDomains maps domains that cannot be registered to the reason.
var reservedDomains = map[string]string{
	"localhost":    "it is the machine itself (RFC 6761 section 6.3)",
	"test":         ".test is for tests (RFC 6761 section 6.2)",
	"invalid":      ".invalid never exists (RFC 6761 section 6.4)",
	"example":      ".example is for documentation (RFC 6761 section 6.5)",
	"local":        ".local is multicast DNS (RFC 6762)",
	"onion":        ".onion is proven by its own challenge alone (RFC 9799), which certroll does not answer",
	"alt":          ".alt is outside of DNS (RFC 9476)",
	"internal":     ".internal is for private networks (ICANN, 2024)",
	"home.arpa":    "home.arpa is for home networks (RFC 8375)",
	"in-addr.arpa": "it is a reverse name of an address (RFC 1035 section 3.5)",
	"ip6.arpa":     "it is a reverse name of an address (RFC 3596 section 2.5)",
}

// reserved returns the reason why no public CA issues for d; "" if one may.
func reserved(d spec.Domain) string {
	if d.IP.IsValid() {
		return reservedAddress(d.IP)
	}
	domain := strings.TrimPrefix(d.ASCII, "*.")
	for rest, more := domain, true; more; _, rest, more = strings.Cut(rest, ".") {
		if why := reservedDomains[rest]; why != "" {
			return why + "; use a private CA"
		}
	}
	if !strings.Contains(domain, ".") {
		return "a name of one label is good in one network only; use a full name, or a private CA"
	}
	// A domain without an ICANN rule and without a private registry's rule ends in a
	// label that is no known top-level domain.
	if suffix, icann := publicsuffix.PublicSuffix(domain); !icann && !strings.Contains(suffix, ".") {
		return "." + suffix + " is no top-level domain that this version knows; use a public name, or a private CA"
	}
	return ""
}

// specialAddresses are the networks of the IANA special-purpose registries (RFC 6890)
// that are not globally reachable and that package netip does not know.
var specialAddresses = parsePrefixes(
	"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
	"64:ff9b:1::/48", "100::/64", "2001:2::/48", "2001:db8::/32", "3fff::/20",
)

func parsePrefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, text := range list {
		out[i] = netip.MustParsePrefix(text)
	}
	return out
}

func reservedAddress(ip netip.Addr) string {
	special := slices.ContainsFunc(specialAddresses, func(p netip.Prefix) bool { return p.Contains(ip) })
	if special || ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() {
		return "the address is private or reserved (RFC 6890); use a public one, or a private CA"
	}
	return ""
}

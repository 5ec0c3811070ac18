package ledger

import (
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// Subject is what can be in trouble for many certificates at once:
// "issuer.NAME" or "dns.NAME".
type Subject string

// IssuerSubject is an issuer.
func IssuerSubject(name string) Subject { return Subject("issuer." + name) }

// AccountSubject is a DNS account.
func AccountSubject(name string) Subject { return Subject("dns." + name) }

// UnreadableSubject is all that certificates have in Vault and nobody can look
// at: it is mostly one policy that leaves them out.
const UnreadableSubject Subject = "unreadable"

// LimitSubject is a registered domain at an issuer. Most limits of a CA are
// about names: when they are spent others may still be issued for.
func LimitSubject(issuer, domain string) Subject {
	return Subject("issuer." + issuer + " for " + domain)
}

// IssuerSubjects are an issuer, and its limits on the domains of names.
func IssuerSubjects(issuer string, names []string) []Subject {
	list := []Subject{IssuerSubject(issuer)}
	for _, d := range Registered(names) {
		list = append(list, LimitSubject(issuer, d))
	}
	return list
}

// Account is the DNS account that the subject is, if it is one.
func (s Subject) Account() (name string, ok bool) { return strings.CutPrefix(string(s), "dns.") }

// Registered are the registered domains of names, each once: what CAs count
// certificates by. An address counts as itself, or as its /64.
func Registered(names []string) []string {
	var domains []string
	for _, n := range names {
		d := RegisteredDomain(n)
		if !slices.Contains(domains, d) {
			domains = append(domains, d)
		}
	}
	return domains
}

// RegisteredDomain is that of one name; see Registered.
func RegisteredDomain(name string) string {
	if ip, err := netip.ParseAddr(name); err == nil {
		if ip.Is4() {
			return ip.String()
		}
		prefix, err := ip.Prefix(64)
		if err != nil {
			return name
		}
		return prefix.String()
	}
	name = strings.TrimPrefix(name, "*.")
	if d, err := publicsuffix.EffectiveTLDPlusOne(name); err == nil {
		return d
	}
	return name
}

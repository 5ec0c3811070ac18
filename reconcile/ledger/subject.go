package ledger

import (
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// Subject is a party that many certificates depend on and that can fail for all of them:
// "issuer.NAME" or "dns.NAME".
type Subject string

// IssuerSubject returns the subject of an issuer.
func IssuerSubject(name string) Subject { return Subject("issuer." + name) }

// AccountSubject returns the subject of a DNS account.
func AccountSubject(name string) Subject { return Subject("dns." + name) }

// UnreadableSubject stands for all secrets that certroll cannot read. Mostly one Vault
// policy is the cause.
const UnreadableSubject Subject = "unreadable"

// LimitSubject returns the subject of a registered domain at an issuer. Most limits of a CA
// are per domain or name, so a spent limit of one domain does not block the others.
func LimitSubject(issuer, domain string) Subject {
	return Subject("issuer." + issuer + " for " + domain)
}

// IssuerSubjects returns the subject of an issuer and those of its limits for the names.
func IssuerSubjects(issuer string, names []string) []Subject {
	list := []Subject{IssuerSubject(issuer)}
	for _, d := range Registered(names) {
		list = append(list, LimitSubject(issuer, d))
	}
	return list
}

// Account returns the name of the DNS account if the subject is one.
func (s Subject) Account() (name string, ok bool) { return strings.CutPrefix(string(s), "dns.") }

// Registered returns the registered domains of names without duplicates. CAs count
// certificates by them. An IPv4 address counts as itself, an IPv6 address as its /64.
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

// RegisteredDomain returns the registered domain of one name; see Registered.
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

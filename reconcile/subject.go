package reconcile

import (
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// subject is what can be in trouble for many certificates at once:
// "issuer.NAME" or "dns.NAME".
type subject string

func issuerSubject(name string) subject { return subject("issuer." + name) }

func accountSubject(name string) subject { return subject("dns." + name) }

// unreadableSubject is all that certificates have in Vault and nobody can look
// at: it is mostly one policy that leaves them out.
const unreadableSubject subject = "unreadable"

// limitSubject is a registered domain at an issuer. Most limits of a CA are
// about names: when they are spent others may still be issued for.
func limitSubject(issuer, domain string) subject {
	return subject("issuer." + issuer + " for " + domain)
}

// issuerSubjects are an issuer, and its limits on the domains of names.
func issuerSubjects(issuer string, names []string) []subject {
	list := []subject{issuerSubject(issuer)}
	for _, d := range registered(names) {
		list = append(list, limitSubject(issuer, d))
	}
	return list
}

// account is the DNS account that the subject is, if it is one.
func (s subject) account() (name string, ok bool) { return strings.CutPrefix(string(s), "dns.") }

// registered are the registered domains of names, each once: what CAs count
// certificates by. An address counts as itself, or as its /64.
func registered(names []string) []string {
	var domains []string
	for _, n := range names {
		d := registeredDomain(n)
		if !slices.Contains(domains, d) {
			domains = append(domains, d)
		}
	}
	return domains
}

func registeredDomain(name string) string {
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

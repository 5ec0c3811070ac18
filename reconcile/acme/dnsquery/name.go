package dnsquery

import (
	"strings"

	"github.com/miekg/dns"
)

// Parent is the name without its first label.
func Parent(name string) string {
	labels := dns.Split(name)
	if len(labels) < 2 {
		return "."
	}
	return name[labels[1]:]
}

// Plain is a name as people write it.
func Plain(fqdn string) string { return strings.ToLower(strings.TrimSuffix(fqdn, ".")) }

// TrimWildcard is the domain that a name of a certificate is about.
func TrimWildcard(name string) string { return strings.TrimPrefix(name, "*.") }

package dnsquery

import (
	"strings"

	"github.com/miekg/dns"
)

// Parent returns the name without its first label.
func Parent(name string) string {
	labels := dns.Split(name)
	if len(labels) < 2 {
		return "."
	}
	return name[labels[1]:]
}

// Plain returns a name in lower case, without the final dot.
func Plain(fqdn string) string { return strings.ToLower(strings.TrimSuffix(fqdn, ".")) }

// TrimWildcard returns a certificate's name without "*.", as ACME validates it (RFC 8555
// section 7.1.3).
func TrimWildcard(name string) string { return strings.TrimPrefix(name, "*.") }

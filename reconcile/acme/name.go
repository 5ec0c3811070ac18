package acme

import (
	"strings"

	"github.com/miekg/dns"
)

func parent(name string) string {
	labels := dns.Split(name)
	if len(labels) < 2 {
		return "."
	}
	return name[labels[1]:]
}

// plain is a name as people write it.
func plain(fqdn string) string { return strings.ToLower(strings.TrimSuffix(fqdn, ".")) }

func trimWildcard(name string) string { return strings.TrimPrefix(name, "*.") }

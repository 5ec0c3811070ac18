package spec

import (
	"regexp"
	"slices"
)

// Endpoints are a certificate's probes as they are written, in their order.
func (c *Certificate) Endpoints() []string {
	list := make([]string, len(c.Probes))
	for i, p := range c.Probes {
		list[i] = p.Endpoint()
	}
	return list
}

// Own tells whether the host is one that the certificate is for.
func (p Probe) Own(c *Certificate) bool { return speaksOf(c.Domains, p.domain()) }

// Asks tells whether a certificate may have a host looked at, as far as the
// host's name tells.
func (rules ProbeRules) Asks(c *Certificate, p Probe) bool {
	host := p.domain()
	return p.Own(c) || slices.ContainsFunc(rules, func(r probeRule) bool { return r.takes(host, p.Port) })
}

// certificateName is safe as a file name and as a segment of a Vault path.
var certificateName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

// IsCertificateName tells whether a certificate can be called so.
func IsCertificateName(name string) bool { return certificateName.MatchString(name) }

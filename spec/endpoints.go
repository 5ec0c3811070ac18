package spec

import (
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

package spec

import (
	"slices"
)

// Endpoints returns the certificate's probes in their written form and order.
func (c *Certificate) Endpoints() []string {
	list := make([]string, len(c.Probes))
	for i, p := range c.Probes {
		list[i] = p.Endpoint()
	}
	return list
}

// Own reports whether the certificate names the probe's host.
func (p Probe) Own(c *Certificate) bool { return speaksOf(c.Domains, p.domain()) }

// Asks reports whether the certificate's block may name the probe's host. It checks only
// the name; Dials checks each address before certroll connects.
func (rules ProbeRules) Asks(c *Certificate, p Probe) bool {
	host := p.domain()
	return p.Own(c) || slices.ContainsFunc(rules, func(r probeRule) bool { return r.takes(host, p.Port) })
}

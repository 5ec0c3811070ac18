package spec

import (
	"net"
	"slices"
	"strconv"

	"github.com/hashicorp/hcl/v2"

	"certroll/spec/text"
)

// maxProbes is how many endpoints a certificate may have.
const maxProbes = 32

// probes reads the endpoints of a certificate, each with its place.
func (b *body) probes(domains []Domain) ([]Probe, []*hcl.Range) {
	list := b.texts("probe")
	var probes []Probe
	var places []*hcl.Range
	for _, e := range list.v {
		if len(probes) > maxProbes || !b.d.afford(perName+perMatching*int64(len(domains)), *e.at, b.whole) {
			break
		}
		p, why := parseProbe(e.v)
		if why == "" && len(domains) > 0 {
			p.ServerName, why = serverName(p, domains)
		}
		if why != "" {
			b.fault(e.at, "Invalid endpoint", "%q: %s.", text.Short(e.v), why)
			continue
		}
		if slices.ContainsFunc(probes, func(o Probe) bool { return o.Endpoint() == p.Endpoint() }) {
			b.fault(e.at, "Duplicate endpoint", "%s is in the list already.", p.Endpoint())
			continue
		}
		probes, places = append(probes, p), append(places, e.at)
	}
	if len(probes) > maxProbes {
		b.fault(places[maxProbes], "Too many endpoints", "A certificate has at most %d endpoints.", maxProbes)
	}
	return probes, places
}

// checkProbes holds the endpoints against what certroll.hcl lets the repo have
// looked at.
func (c *certificates) checkProbes(b *body, cert *Certificate, places []*hcl.Range) {
	if !c.trust.Known {
		return // one warning says so for all that is not checked
	}
	for i, p := range cert.Probes {
		if !c.trust.Probe.Asks(cert, p) {
			b.fault(places[i], "Endpoint not allowed", "%s is none of the certificate's own names, and certroll.hcl does not allow to look there; add it there, as in probe { allow = [%q] }.",
				p.Host, net.JoinHostPort(p.Host, strconv.Itoa(int(p.Port))))
		}
	}
}

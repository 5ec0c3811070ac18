package decode

import (
	"net"
	"slices"
	"strconv"

	"github.com/hashicorp/hcl/v2"

	"certroll/spec"
	"certroll/spec/block"
	"certroll/spec/text"
)

// maxProbes is the number of endpoints of one certificate.
const maxProbes = 32

// probes reads the endpoints of a certificate with their places.
func (b *body) probes(domains []spec.Domain) ([]spec.Probe, []*hcl.Range) {
	list := b.Texts("probe")
	var probes []spec.Probe
	var places []*hcl.Range
	for _, e := range list.Value {
		if len(probes) > maxProbes || !b.d.Afford(block.PerName+block.PerMatching*int64(len(domains)), *e.At, b.Whole) {
			break
		}
		p, why := spec.ParseProbe(e.Value)
		if why == "" && len(domains) > 0 {
			p.ServerName, why = spec.ServerName(p, domains)
		}
		if why != "" {
			b.Fault(e.At, "Invalid endpoint", "%q: %s.", text.Short(e.Value), why)
			continue
		}
		if slices.ContainsFunc(probes, func(o spec.Probe) bool { return o.Endpoint() == p.Endpoint() }) {
			b.Fault(e.At, "Duplicate endpoint", "%s is in the list already.", p.Endpoint())
			continue
		}
		probes, places = append(probes, p), append(places, e.At)
	}
	if len(probes) > maxProbes {
		b.Fault(places[maxProbes], "Too many endpoints", "A certificate has at most %d endpoints.", maxProbes)
	}
	return probes, places
}

// checkProbes checks the endpoints against the hosts that certroll.hcl allows.
func (c *certificates) checkProbes(b *body, cert *spec.Certificate, places []*hcl.Range) {
	if !c.trust.Known {
		return // one warning covers all skipped checks
	}
	for i, p := range cert.Probes {
		if !c.trust.Probe.Asks(cert, p) {
			b.Fault(places[i], "Endpoint not allowed", "%s is none of the certificate's own names, and certroll.hcl does not allow to look there; add it there, as in probe { allow = [%q] }.",
				p.Host, net.JoinHostPort(p.Host, strconv.Itoa(int(p.Port))))
		}
	}
}

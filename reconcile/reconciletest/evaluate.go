package reconciletest

import (
	"certroll/spec"
)

// Endpoints are probes of hosts at port 443.
func Endpoints(hosts ...string) []spec.Probe {
	var list []spec.Probe
	for _, host := range hosts {
		list = append(list, spec.Probe{Protocol: spec.PlainTLS, Host: host, Port: 443, ServerName: host})
	}
	return list
}

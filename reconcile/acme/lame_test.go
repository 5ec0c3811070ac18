package acme

import (
	"errors"
	"strings"
	"testing"
	"time"

	"certroll/examples/lab"
	"certroll/reconcile/acme/problem"
	"certroll/reconcile/ledger"
	"certroll/spec"
)

// TestLameServersDoNotBlock checks that a lame name server blocks no certificate, and
// that the canary reports it as a warning.
func TestLameServersDoNotBlock(t *testing.T) {
	t.Parallel()
	r := newRig(t, lab.PebbleOptions{})
	c := r.client()
	for name, test := range map[string]struct {
		fault lab.Fault
		said  string
	}{
		"refused":  {lab.Refuse, "answered REFUSED"},
		"servfail": {lab.ServFail, "answered SERVFAIL"},
		"silent":   {lab.Drop, "did not answer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			other := nameServer(t, "lab.test")
			other.FailQueries(test.fault)
			a := account("dns", r.server())
			a.Propagation.Nameservers = []string{other.Addr, r.dns.Addr}
			a.Propagation.Timeout = 20 * time.Second
			r.issue(c, []*spec.DNSAccount{a}, name+".lab.test")
			var f *problem.Finding
			err := c.Canary(t.Context(), a, "canary-"+name+".lab.test", nil)
			if !errors.As(err, &f) || ledger.Severity(f.Severity()) != ledger.SeverityWarning || f.Account() != "dns" {
				t.Fatalf("the canary found %v, want a warning", err)
			}
			if !strings.Contains(f.Error(), "not by "+other.Addr+" "+test.said) {
				t.Errorf("the warning is %q, want in it %q", f.Error(), test.said)
			}
		})
	}
}

package solver

import (
	"errors"
	"slices"
	"testing"

	"github.com/go-acme/lego/v4/acme"

	"certroll/reconcile/acme/problem"
	"certroll/reconcile/ledger"
	"certroll/spec"
)

// group1 returns the tasks for one name.
func group1(name string, wildcard bool) []task {
	kind := "dns"
	if name == "192.0.2.1" {
		kind = "ip"
	}
	return []task{{authz: acme.Authorization{Identifier: acme.Identifier{Type: kind, Value: name}, Wildcard: wildcard}}}
}

// TestAccountsByZone checks the accounts that each name uses: those that can validate
// it, the ones that declare its zone first, in spec order.
func TestAccountsByZone(t *testing.T) {
	com := &spec.DNSAccount{Name: "com", Challenge: spec.DNS01, Zones: []string{"example.com"}}
	net := &spec.DNSAccount{Name: "net", Challenge: spec.DNS01, Zones: []string{"example.net", "sub.example.com"}}
	every := &spec.DNSAccount{Name: "any", Challenge: spec.DNS01}
	led := &spec.DNSAccount{Name: "led", Challenge: spec.DNS01, Zones: []string{"acme.example.org"}, FollowCNAME: true}
	web := &spec.DNSAccount{Name: "web", Challenge: spec.HTTP01}
	s := &solving{Job: &Job{Accounts: []*spec.DNSAccount{led, every, com, net, web}}, gaveUp: map[*spec.DNSAccount]bool{}}
	for name, want := range map[string][]string{
		"example.com":       {"com", "any", "web", "led"},
		"www.example.com":   {"com", "any", "web", "led"},
		"a.sub.example.com": {"com", "net", "any", "web", "led"},
		"example.net":       {"net", "any", "web", "led"},
		"badexample.com":    {"any", "web", "led"},
		"192.0.2.1":         {"web"},
	} {
		var got []string
		for _, a := range s.inOrder(group1(name, false)) {
			got = append(got, a.Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	if got := s.inOrder(group1("example.com", true)); slices.Contains(got, web) || got[0] != com {
		t.Errorf("a wildcard is proven by %v", got)
	}
	s.Accounts = []*spec.DNSAccount{com}
	if err := s.solveGroup(t.Context(), group1("example.net", false)); !errors.As(err, new(*problem.Error)) || problem.AsError("", err).OfClass != ledger.ClassConfig {
		t.Errorf("nobody for the name: %v", err)
	}
}

// TestEachPublisherIsReportedOnce checks that every account that published a record is
// reported, once.
func TestEachPublisherIsReportedOnce(t *testing.T) {
	var got []string
	j := &Job{Report: func(step, detail string) {
		if step == StepPublished {
			got = append(got, detail)
		}
	}}
	s := &solving{Job: j}
	for _, name := range []string{"lab", "second", "lab"} {
		s.worked(&spec.DNSAccount{Name: name})
	}
	if !slices.Equal(got, []string{"lab", "second"}) {
		t.Errorf("reported: %v", got)
	}
}

package solver

import (
	"errors"
	"testing"

	"certroll/reconcile/acme/problem"
	"certroll/reconcile/ledger"
	"certroll/spec"
)

// TestPassedOverForOneZone checks that an account that published one name of an order
// but could not publish another is not reported as passed over. An account that lacks
// one zone is still tried first for the next zone.
func TestPassedOverForOneZone(t *testing.T) {
	lab, second := &spec.DNSAccount{Name: "lab"}, &spec.DNSAccount{Name: "second"}
	j := &Job{Accounts: []*spec.DNSAccount{lab, second}, Report: func(string, string) {}}
	s := &solving{Job: j, gaveUp: map[*spec.DNSAccount]bool{}}
	notMine := &problem.Error{OfClass: ledger.ClassConfig, NotZone: true, DNSAccount: "lab", Said: "zone not found"}
	refused := &problem.Error{OfClass: ledger.ClassDNSUnauthorized, DNSAccount: "lab", Said: "403"}

	s.passOver(lab, map[*spec.DNSAccount]bool{lab: true}, notMine)
	s.worked(second)
	if next := s.next(map[*spec.DNSAccount]bool{}); next != lab {
		t.Errorf("the next name begins with %s", next.Name)
	}
	if passed := j.PassedBefore(nil); len(passed) != 0 {
		t.Errorf("passed over for a zone that is not its own: %v", passed)
	}

	s.passOver(lab, map[*spec.DNSAccount]bool{lab: true}, refused)
	if passed := j.PassedBefore(nil); len(passed) != 1 || !errors.Is(passed[0], refused) {
		t.Errorf("passed over: %v", passed)
	}
	s.worked(lab)
	if passed := j.PassedBefore(nil); len(passed) != 0 {
		t.Errorf("passed over though it published: %v", passed)
	}
}

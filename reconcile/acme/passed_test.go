package acme

import (
	"errors"
	"testing"

	"certroll/spec"
)

// TestPassedOverForOneZone: an account that published for one name of an order
// and could not for another is not told as passed over; one that is not in charge
// of a zone is tried first for the next one all the same.
func TestPassedOverForOneZone(t *testing.T) {
	lab, second := &spec.DNSAccount{Name: "lab"}, &spec.DNSAccount{Name: "second"}
	j := &job{accounts: []*spec.DNSAccount{lab, second}, report: func(string, string) {}}
	s := &solving{job: j, gaveUp: map[*spec.DNSAccount]bool{}}
	notMine := &Error{class: ClassConfig, notZone: true, account: "lab", said: "zone not found"}
	refused := &Error{class: ClassDNSUnauthorized, account: "lab", said: "403"}

	s.passOver(lab, map[*spec.DNSAccount]bool{lab: true}, notMine)
	s.worked(second)
	if next := s.next(map[*spec.DNSAccount]bool{}); next != lab {
		t.Errorf("the next name begins with %s", next.Name)
	}
	if passed := j.passedBefore(nil); len(passed) != 0 {
		t.Errorf("passed over for a zone that is not its own: %v", passed)
	}

	s.passOver(lab, map[*spec.DNSAccount]bool{lab: true}, refused)
	if passed := j.passedBefore(nil); len(passed) != 1 || !errors.Is(passed[0], refused) {
		t.Errorf("passed over: %v", passed)
	}
	s.worked(lab)
	if passed := j.passedBefore(nil); len(passed) != 0 {
		t.Errorf("passed over though it published: %v", passed)
	}
}

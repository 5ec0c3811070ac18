package reconcile

import (
	"encoding/json"
	"strings"
	"testing"

	"certroll/spec/redact"
)

// TestLedgerIsToldNoSecret: whatever an adapter let through, the one writer of
// the ledger strikes what a reference led to.
func TestLedgerIsToldNoSecret(t *testing.T) {
	const secret = "correct-horse/battery"
	s := &scribe{redact: redact.New(secret)}
	record := &Record{Certificate: "api", LastFailure: &Failure{Message: "no " + secret}, Hold: &Hold{Reason: "no " + secret}}
	told := s.struck(entry{
		Event:  Event{Message: "no " + secret, Detail: "?k=correct-horse%2Fbattery", PassedOver: []PassedOver{{Message: "no " + secret}}},
		Record: record,
	})
	b, err := json.Marshal(told)
	if err != nil || strings.Contains(string(b), "horse") || strings.Count(string(b), redact.Struck) != 5 {
		t.Errorf("the ledger is told %s, %v", b, err)
	}
	if record.LastFailure.Message != "no "+secret {
		t.Error("the caller's record was changed")
	}
}

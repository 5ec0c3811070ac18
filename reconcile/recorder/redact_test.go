package recorder_test

import (
	"encoding/json"
	"strings"
	"testing"

	"certroll/reconcile/ledger"
	"certroll/reconcile/recorder"
	"certroll/spec/redact"
)

// TestLedgerIsToldNoSecret checks that the only writer of the ledger redacts resolved
// secrets that an adapter let through.
func TestLedgerIsToldNoSecret(t *testing.T) {
	const secret = "correct-horse/battery"
	s := &recorder.Writer{Redact: redact.New(secret)}
	record := &ledger.Record{Certificate: "api", LastFailure: &ledger.Failure{Message: "no " + secret}, Hold: &ledger.Hold{Reason: "no " + secret}}
	struck := s.Struck(ledger.Entry{
		Event:  ledger.Event{Message: "no " + secret, Detail: "?k=correct-horse%2Fbattery", PassedOver: []ledger.PassedOver{{Message: "no " + secret}}},
		Record: record,
	})
	b, err := json.Marshal(struck)
	if err != nil || strings.Contains(string(b), "horse") || strings.Count(string(b), redact.Struck) != 5 {
		t.Errorf("the ledger is told %s, %v", b, err)
	}
	if record.LastFailure.Message != "no "+secret {
		t.Error("the caller's record was changed")
	}
}

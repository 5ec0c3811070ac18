package attempt_test

import (
	"slices"
	"testing"

	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/pending"
	"certroll/reconcile/reconciletest"
	"certroll/reconcile/throttle"
)

// TestAllPublishersAreCredited checks that the event names each DNS account that
// published a record, also after a restart, and that each counts as working.
func TestAllPublishersAreCredited(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com", "api.example.net"))
	w.Ca.Publishes = []string{"second", "lab", "second"}
	report := w.Settle()
	e := report.Results[0].Event
	if !slices.Equal(e.DNSAccounts, []string{"lab", "second"}) {
		t.Errorf("event: %v", e.DNSAccounts)
	}
	for _, name := range e.DNSAccounts {
		if !slices.Contains(throttle.Worked(e), ledger.AccountSubject(name)) {
			t.Errorf("dns.%s is not credited", name)
		}
	}
	key, err := keypair.NewKey("ecdsa-P-256")
	if err != nil {
		t.Fatal(err)
	}
	m, err := (&pending.Secret{Key: key, Started: reconciletest.Start, Accounts: e.DNSAccounts}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	if d, err := pending.DecodeSecret(m); err != nil || !slices.Equal(d.Accounts, e.DNSAccounts) {
		t.Errorf("read back: %v, error %v", d, err)
	}
}

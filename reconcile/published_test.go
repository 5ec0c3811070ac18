package reconcile

import (
	"slices"
	"testing"
)

// TestAllPublishersAreCredited: each DNS account that answered for a name is in the
// event, over a restart too, and has worked.
func TestAllPublishersAreCredited(t *testing.T) {
	w := newWorld(t, certificate("api", "api.example.com", "api.example.net"))
	w.ca.publishes = []string{"second", "lab", "second"}
	report := w.settle()
	e := report.Results[0].Event
	if !slices.Equal(e.DNSAccounts, []string{"lab", "second"}) {
		t.Errorf("event: %v", e.DNSAccounts)
	}
	for _, name := range e.DNSAccounts {
		if !slices.Contains(worked(e), accountSubject(name)) {
			t.Errorf("dns.%s is not credited", name)
		}
	}
	key, err := newKey("ecdsa-P-256")
	if err != nil {
		t.Fatal(err)
	}
	m, err := (&draft{Key: key, Started: start, Accounts: e.DNSAccounts}).encode()
	if err != nil {
		t.Fatal(err)
	}
	if d, err := decodeDraft(m); err != nil || !slices.Equal(d.Accounts, e.DNSAccounts) {
		t.Errorf("read back: %v, error %v", d, err)
	}
}

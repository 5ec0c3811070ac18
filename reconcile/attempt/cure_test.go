package attempt_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"certroll/reconcile/reconciletest"
	"certroll/spec"
)

// TestAnotherSpecMayBeTheCure checks that a changed spec of a failed certificate makes
// one certificate retry a held issuer at once.
func TestAnotherSpecMayBeTheCure(t *testing.T) {
	var certificates []*spec.Certificate
	for i := range 6 {
		certificates = append(certificates, reconciletest.Certificate(fmt.Sprintf("c%d", i), fmt.Sprintf("c%d.example.com", i)))
	}
	w := reconciletest.NewWorld(t, certificates...)
	w.Ca.Fail = func(op string, _ int) error {
		if op == "order" {
			return &reconciletest.CaError{Code: "ca_unavailable", Text: "no such host"}
		}
		return nil
	}
	pass := func(failed, done int) {
		t.Helper()
		w.At = w.At.Add(2 * time.Second)
		report, err := w.Apply(context.Background())
		if err != nil || report.Failed() != failed || len(report.Results)-report.Failed() != done {
			t.Fatalf("%d failed and %d were done, want %d and %d (%v)", report.Failed(), len(report.Results)-report.Failed(), failed, done, err)
		}
	}
	pass(3, 0)
	pass(0, 0)

	// The change does not help: one certificate finds out for all.
	w.Desired.Issuers["ca"] = &spec.Issuer{Name: "ca", Directory: "https://ca.example/directory"}
	pass(1, 0)
	pass(0, 0)

	// A change to another certificate's spec matters only if that certificate failed
	// last.
	for _, c := range certificates[1:3] {
		c.Rotate = "changed"
	}
	before := w.Ca.Calls["order"]
	pass(0, 0)
	if n := w.Ca.Calls["order"]; n != before {
		t.Errorf("the CA was asked %d times", n-before)
	}

	w.Desired.Issuers["ca"] = &spec.Issuer{Name: "ca", Directory: "https://ca.example/third"}
	w.Ca.Fail = nil
	pass(0, 1)
	pass(0, 5)
}

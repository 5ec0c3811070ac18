package attempt_test

import (
	"testing"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/reconciletest"
	"certroll/spec"
)

// TestAPendingSecretOfAnIssuerThatIsRenamed checks that certroll continues an earlier
// run's order under the issuer's new name, and then polls and revokes the certificate
// under that name.
func TestAPendingSecretOfAnIssuerThatIsRenamed(t *testing.T) {
	c := reconciletest.Certificate("api", "api.example.com")
	w := reconciletest.NewWorld(t, c)
	w.Ca.Fail = func(op string, _ int) error {
		if op == "finish" {
			return &reconciletest.CaError{Code: "dns_unavailable", OfAccount: "lab", Text: "timeout"}
		}
		return nil
	}
	if report, err := w.Apply(t.Context()); err != nil || report.Failed() != 1 {
		t.Fatalf("report %+v, error %v", report, err)
	}
	w.Ca.Fail = nil
	renamed := *w.Desired.Issuers["ca"]
	renamed.Name = "prod"
	w.Desired.Issuers = map[string]*spec.Issuer{"prod": &renamed}
	c.Issuer = "prod"
	w.Settle()
	if l := w.Ledger.Record(t, "api").Live; l.Issuer != "prod" || w.Ca.Calls["order"] != 1 {
		t.Errorf("it is from issuer.%s, after %d orders", l.Issuer, w.Ca.Calls["order"])
	}
	es := w.Ledger.Events(t)
	if e := es[len(es)-1]; e.Issuer != "prod" {
		t.Errorf("event: %+v", e)
	}
}

// TestAgreeingToTheTermsEndsAHold checks that accepting the terms, as the error
// advises, ends the hold.
func TestAgreeingToTheTermsEndsAHold(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
	w.Ca.Fail = func(string, int) error {
		if w.Desired.Issuers["ca"].AgreeTOS {
			return nil
		}
		return &reconciletest.CaError{Code: "config", Text: "the CA asks to agree to its terms of service"}
	}
	for range 4 {
		if _, err := w.Apply(t.Context()); err != nil {
			t.Fatal(err)
		}
		a := w.Only()
		reconciletest.Expect(t, a, ledger.KindHold, ledger.ReasonBackoff, "terms of service")
		w.At = a.NotBefore
	}
	w.At = w.At.Add(-time.Hour)
	agreed := *w.Desired.Issuers["ca"]
	agreed.AgreeTOS = true
	w.Desired.Issuers["ca"] = &agreed
	reconciletest.Expect(t, w.Only(), ledger.KindIssue, ledger.ReasonMissing, "")
}

package reconcile

import (
	"testing"
	"time"

	"certroll/reconcile/ledger"
	"certroll/spec"
)

// TestAPendingSecretOfAnIssuerThatIsRenamed: what an earlier run left is gone on
// with under the name that the issuer has now, by which the certificate is
// asked about and revoked.
func TestAPendingSecretOfAnIssuerThatIsRenamed(t *testing.T) {
	c := certificate("api", "api.example.com")
	w := newWorld(t, c)
	w.ca.fail = func(op string, _ int) error {
		if op == "finish" {
			return &caError{class: "dns_unavailable", account: "lab", text: "timeout"}
		}
		return nil
	}
	if report, err := w.apply(t.Context()); err != nil || report.Failed() != 1 {
		t.Fatalf("report %+v, error %v", report, err)
	}
	w.ca.fail = nil
	renamed := *w.desired.Issuers["ca"]
	renamed.Name = "prod"
	w.desired.Issuers = map[string]*spec.Issuer{"prod": &renamed}
	c.Issuer = "prod"
	w.settle()
	if l := w.ledger.record(t, "api").Live; l.Issuer != "prod" || w.ca.calls["order"] != 1 {
		t.Errorf("it is from issuer.%s, after %d orders", l.Issuer, w.ca.calls["order"])
	}
	es := w.ledger.events(t)
	if e := es[len(es)-1]; e.Issuer != "prod" {
		t.Errorf("event: %+v", e)
	}
}

// TestAgreeingToTheTermsEndsAHold: it is what the error asks for.
func TestAgreeingToTheTermsEndsAHold(t *testing.T) {
	w := newWorld(t, certificate("api", "api.example.com"))
	w.ca.fail = func(string, int) error {
		if w.desired.Issuers["ca"].AgreeTOS {
			return nil
		}
		return &caError{class: "config", text: "the CA asks to agree to its terms of service"}
	}
	for range 4 {
		if _, err := w.apply(t.Context()); err != nil {
			t.Fatal(err)
		}
		a := w.only()
		expect(t, a, ledger.KindHold, ledger.ReasonBackoff, "terms of service")
		w.at = a.NotBefore
	}
	w.at = w.at.Add(-time.Hour)
	agreed := *w.desired.Issuers["ca"]
	agreed.AgreeTOS = true
	w.desired.Issuers["ca"] = &agreed
	expect(t, w.only(), ledger.KindIssue, ledger.ReasonMissing, "")
}

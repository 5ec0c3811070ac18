package attempt_test

import (
	"strings"
	"testing"
	"time"

	"certroll/reconcile/apply"
	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/reconcile/reconciletest"
	"certroll/reconcile/times"
	"certroll/spec"
)

// TestRenamedIssuer checks an issuer block that is renamed with the same CA and
// account. certroll keeps fetching ARI, sends replaces, reissues nothing, and can still
// revoke removed or replaced certificates.
func TestRenamedIssuer(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
	w.Ca.Info = func(string) (start, end, again time.Time) {
		return w.At.Add(60 * times.Day), w.At.Add(62 * times.Day), w.At.Add(time.Hour)
	}
	w.Settle()
	old := w.Desired.Issuers["ca"]
	rename := func() {
		renamed := *old
		renamed.Name = "public"
		w.Desired.Issuers = map[string]*spec.Issuer{"public": &renamed}
		for _, c := range w.Desired.Certificates {
			c.Issuer = "public"
		}
	}
	rename()
	obs, err := w.Reconciler().Observe(t.Context(), w.Desired)
	if err != nil {
		t.Fatal(err)
	}
	if qs := apply.Questions(w.Desired, obs); len(qs) != 1 || qs[0].Issuer.Name != "public" {
		t.Fatalf("%d questions", len(qs))
	}
	if got := w.Kinds(); got != "none" {
		t.Errorf("plan after the renaming: %s", got)
	}
	w.At = w.At.Add(80 * times.Day)
	obs, err = w.Reconciler().Observe(t.Context(), w.Desired)
	if err != nil {
		t.Fatal(err)
	}
	if a := plan.New(w.Desired, obs, w.At).Actions[0]; !a.Kind.Orders() || a.Replaces == "" {
		t.Errorf("%s, replaces %q", a.Kind, a.Replaces)
	}
	// A new directory under the old name is another CA.
	w.Desired.Issuers["ca"] = &spec.Issuer{Name: "ca", Directory: "https://elsewhere.example/directory"}
	if i := plan.IssuerOf(w.Desired, w.Desired.Certificates[0], &ledger.Live{Issuer: "ca", Directory: old.Directory}); i == nil || i.Name != "public" {
		t.Errorf("by the old name with another directory: %+v", i)
	}
	if i := plan.IssuerAt(w.Desired, nil, "gone", "https://nowhere.example/directory"); i != nil {
		t.Errorf("of a CA that is not in the spec: %+v", i)
	}
}

// TestRenamedIssuerRevokes checks on_remove = "revoke" after the issuer was renamed.
func TestRenamedIssuerRevokes(t *testing.T) {
	c := reconciletest.Certificate("api", "api.example.com")
	c.OnRemove = spec.Revoke
	w := reconciletest.NewWorld(t, c)
	w.Settle()
	renamed := *w.Desired.Issuers["ca"]
	renamed.Name = "public"
	w.Desired.Issuers, w.Desired.Certificates = map[string]*spec.Issuer{"public": &renamed}, nil
	report, err := w.Apply(t.Context())
	if err != nil || report.Failed() != 0 || len(w.Ca.Revoked) != 1 {
		t.Errorf("revoked %v: %+v, %v", w.Ca.Revoked, report, err)
	}
}

// TestIssuerGoesWithItsCertificate checks on_remove = "revoke" when one commit removes
// both the certificate and its issuer. certroll cannot revoke, so it rejects the
// removal with a remedy and deletes nothing. Restoring the issuer's block is enough.
func TestIssuerGoesWithItsCertificate(t *testing.T) {
	c := reconciletest.Certificate("api", "api.example.com")
	c.OnRemove = spec.Revoke
	w := reconciletest.NewWorld(t, c)
	w.Settle()
	issuers := w.Desired.Issuers
	w.Desired.Issuers, w.Desired.Certificates = map[string]*spec.Issuer{}, nil
	report, err := w.Apply(t.Context())
	if err != nil || len(report.Results) != 1 || len(w.Ca.Revoked) != 0 {
		t.Fatalf("revoked %v: %+v, %v", w.Ca.Revoked, report, err)
	}
	e := report.Results[0].Event
	if e.Status != ledger.Denied || e.Class != ledger.ClassConfig || !strings.Contains(e.Message, "bring the issuer block back") {
		t.Errorf("event: %+v", e)
	}
	w.SecretPair("tls/api") // still present
	w.Desired.Issuers = issuers
	w.At = w.At.Add(2 * times.Day)
	w.Settle()
	if len(w.Ca.Revoked) != 1 || w.Ledger.Record(t, "api").State != ledger.StateRetired {
		t.Errorf("with the block back: revoked %v, record %+v", w.Ca.Revoked, w.Ledger.Record(t, "api"))
	}
}

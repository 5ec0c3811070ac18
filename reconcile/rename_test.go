package reconcile

import (
	"strings"
	"testing"
	"time"

	"certroll/reconcile/apply"
	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/reconcile/times"
	"certroll/spec"
)

// TestRenamedIssuer: another name of the block, the same CA and account. ARI is
// asked still, the order carries replaces, nothing is reissued, and what is
// removed or replaced can be revoked.
func TestRenamedIssuer(t *testing.T) {
	w := newWorld(t, certificate("api", "api.example.com"))
	w.ca.info = func(string) (start, end, again time.Time) {
		return w.at.Add(60 * times.Day), w.at.Add(62 * times.Day), w.at.Add(time.Hour)
	}
	w.settle()
	old := w.desired.Issuers["ca"]
	rename := func() {
		renamed := *old
		renamed.Name = "public"
		w.desired.Issuers = map[string]*spec.Issuer{"public": &renamed}
		for _, c := range w.desired.Certificates {
			c.Issuer = "public"
		}
	}
	rename()
	obs, err := w.reconciler().Observe(t.Context(), w.desired)
	if err != nil {
		t.Fatal(err)
	}
	if qs := apply.Questions(w.desired, obs); len(qs) != 1 || qs[0].Issuer.Name != "public" {
		t.Fatalf("%d questions", len(qs))
	}
	if got := w.kinds(); got != "none" {
		t.Errorf("plan after the renaming: %s", got)
	}
	w.at = w.at.Add(80 * times.Day)
	obs, err = w.reconciler().Observe(t.Context(), w.desired)
	if err != nil {
		t.Fatal(err)
	}
	if a := plan.Plan(w.desired, obs, w.at)[0]; !a.Kind.Orders() || a.Replaces == "" {
		t.Errorf("%s, replaces %q", a.Kind, a.Replaces)
	}
	// Another directory under the old name is another CA.
	w.desired.Issuers["ca"] = &spec.Issuer{Name: "ca", Directory: "https://elsewhere.example/directory"}
	if i := plan.IssuerOf(w.desired, w.desired.Certificates[0], &ledger.Live{Issuer: "ca", Directory: old.Directory}); i == nil || i.Name != "public" {
		t.Errorf("by the old name with another directory: %+v", i)
	}
	if i := plan.IssuerAt(w.desired, nil, "gone", "https://nowhere.example/directory"); i != nil {
		t.Errorf("of a CA that is not in the spec: %+v", i)
	}
}

// TestRenamedIssuerRevokes: on_remove = "revoke" after the renaming.
func TestRenamedIssuerRevokes(t *testing.T) {
	c := certificate("api", "api.example.com")
	c.OnRemove = spec.Revoke
	w := newWorld(t, c)
	w.settle()
	renamed := *w.desired.Issuers["ca"]
	renamed.Name = "public"
	w.desired.Issuers, w.desired.Certificates = map[string]*spec.Issuer{"public": &renamed}, nil
	report, err := w.apply(t.Context())
	if err != nil || report.Failed() != 0 || len(w.ca.revoked) != 1 {
		t.Errorf("revoked %v: %+v, %v", w.ca.revoked, report, err)
	}
}

// TestIssuerGoesWithItsCertificate: on_remove = "revoke", and the issuer's block goes in
// the same commit. Nobody is left to revoke it: that is refused with the way out,
// nothing is deleted, and the block's return is enough.
func TestIssuerGoesWithItsCertificate(t *testing.T) {
	c := certificate("api", "api.example.com")
	c.OnRemove = spec.Revoke
	w := newWorld(t, c)
	w.settle()
	issuers := w.desired.Issuers
	w.desired.Issuers, w.desired.Certificates = map[string]*spec.Issuer{}, nil
	report, err := w.apply(t.Context())
	if err != nil || len(report.Results) != 1 || len(w.ca.revoked) != 0 {
		t.Fatalf("revoked %v: %+v, %v", w.ca.revoked, report, err)
	}
	e := report.Results[0].Event
	if e.Status != ledger.Denied || e.Class != ledger.ClassConfig || !strings.Contains(e.Message, "bring the issuer block back") {
		t.Errorf("event: %+v", e)
	}
	w.secretPair("tls/api") // it is there still
	w.desired.Issuers = issuers
	w.at = w.at.Add(2 * times.Day)
	w.settle()
	if len(w.ca.revoked) != 1 || w.ledger.record(t, "api").State != ledger.StateRetired {
		t.Errorf("with the block back: revoked %v, record %+v", w.ca.revoked, w.ledger.record(t, "api"))
	}
}

package doctor_test

import (
	"crypto/x509"
	"slices"
	"strings"
	"testing"
	"time"

	"certroll/reconcile/archive"
	"certroll/reconcile/doctor"
	"certroll/reconcile/reconciletest"
	"certroll/reconcile/times"
)

// TestUncheckedByCRL checks that doctor reports, once per CRL and issuer, why
// certificates remain unchecked, and that this warning does not hide the end of another
// problem.
func TestUncheckedByCRL(t *testing.T) {
	w, x := examined(t)
	w.Ca.SignBy(t, reconciletest.Start.Add(1000*times.Day), false)
	w.Ca.Wrong = func(c *x509.Certificate) { c.CRLDistributionPoints = []string{reconciletest.CrlURL} }
	crls := &reconciletest.MemCRLs{}
	w.Opts.CRLs = crls
	w.Settle()
	const about = "warning ca_unavailable revocation list " + reconciletest.CrlURL + " of issuer.ca [api mail web] []"
	w.Publish(crls, 4, w.Ca.MidKey)
	expect := func(want ...string) string {
		t.Helper()
		found := w.Examine(doctor.ExamineOptions{})
		if got := summary(found); !slices.Equal(got, want) {
			t.Errorf("found %q, want %q", got, want)
		}
		if len(found.Findings) == 0 {
			return ""
		}
		return found.Findings[0].Message
	}
	expect()
	x.caa = func(_, _ string) *fakeFinding {
		return &fakeFinding{"error", "caa", "CAA at lab.test", "forbidden", ""}
	}
	w.Doctor()
	x.caa = nil
	w.At = w.At.Add(8 * times.Day)
	expired := w.At.Add(-times.Day).UTC().Format(time.RFC3339)
	if said := expect(about); !strings.Contains(said, "of issuer.ca expired at "+expired) || !strings.Contains(said, "api, mail") {
		t.Errorf("said %s, want the issuer and %s", said, expired)
	}
	w.Doctor()
	if open, err := archive.ReadProblems(w.Ledger.Tree); err != nil || len(open.Problems) != 0 {
		t.Errorf("still open: %+v, %v", open, err)
	}
	crls.Lists = nil
	expect(about)
}

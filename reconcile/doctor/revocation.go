package doctor

import (
	"context"
	"strings"

	"certroll/reconcile/apply"
	"certroll/reconcile/failure"
	"certroll/reconcile/ledger"
)

// aboutCRL begins the object of a finding about a CRL.
const aboutCRL = "revocation list "

// findUnchecked adds findings about CRLs that do not show whether certificates are
// revoked.
func findUnchecked(ctx context.Context, r *apply.Reconciler, x *examining) {
	records := readRecords(ctx, r)
	if records == nil {
		return
	}
	for _, u := range r.CheckCRLs(ctx, x.certificates, records) {
		x.note(ledger.Finding{
			Severity: ledger.SeverityWarning, Class: ledger.ClassCAUnavailable, Names: []string{},
			About:   aboutCRL + u.CRL + " of issuer." + records[u.Certificates[0].Name].Live.Issuer,
			Message: failure.Message(u.Err),
			Advice:  "until the CA publishes a valid list that certroll can reach, certroll does not detect a revocation; renewals go on",
		}, u.Certificates)
	}
}

// hidesNothing reports whether a finding leaves the rest of the examination complete.
func hidesNothing(f ledger.Finding) bool { return strings.HasPrefix(f.About, aboutCRL) }

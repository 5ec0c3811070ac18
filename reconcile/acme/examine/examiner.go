package examine

import (
	"context"

	"certroll/reconcile/acme/ca"
	"certroll/reconcile/acme/problem"
	"certroll/reconcile/acme/publish"
	"certroll/reconcile/acme/session"
	"certroll/reconcile/ledger"
	"certroll/spec"
	"certroll/spec/redact"
)

// Examiner checks the conditions of renewals before a CA does.
type Examiner struct {
	cas       *ca.Set
	accounts  *session.Accounts
	publisher *publish.Publisher
	secrets   *redact.Redactor
}

// New makes an Examiner. It removes the redactor's secrets from all findings.
func New(cas *ca.Set, accounts *session.Accounts, publisher *publish.Publisher, secrets *redact.Redactor) *Examiner {
	return &Examiner{cas: cas, accounts: accounts, publisher: publisher, secrets: secrets}
}

// directory returns the directory's meta object, or the finding that explains the
// failure.
func (x *Examiner) directory(ctx context.Context, issuer *spec.Issuer, doing string) (ca.Meta, *problem.Finding) {
	m, err := x.cas.Meta(ctx, issuer, doing)
	if err != nil {
		return ca.Meta{}, &problem.Finding{Level: ledger.SeverityError, At: issuer.Directory, Why: problem.AsError(doing, err)}
	}
	return m, nil
}

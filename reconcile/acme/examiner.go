package acme

import (
	"context"

	"certroll/spec"
	"certroll/spec/redact"
)

// Examiner looks at what renewals depend on, before a CA does.
type Examiner struct {
	cas       *cas
	accounts  *accounts
	publisher *publisher
	secrets   *redact.Redactor
}

// newExaminer makes one. It strikes what the redactor knows from all that it finds.
func newExaminer(cas *cas, accounts *accounts, publisher *publisher, secrets *redact.Redactor) *Examiner {
	return &Examiner{cas: cas, accounts: accounts, publisher: publisher, secrets: secrets}
}

// directory reads what the directory says of its CA, or finds why that cannot be done.
func (x *Examiner) directory(ctx context.Context, issuer *spec.Issuer, doing string) (meta, *Finding) {
	m, err := x.cas.meta(ctx, issuer, doing)
	if err != nil {
		return meta{}, &Finding{severity: SeverityError, about: issuer.Directory, why: asError(doing, err)}
	}
	return m, nil
}

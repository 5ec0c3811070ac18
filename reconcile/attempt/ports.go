package attempt

import (
	"context"
	"time"

	"certroll/spec"
)

// CRLSource fetches certificate revocation lists (RFC 5280 section 5). It bounds time and
// size, and connects only to the addresses that certroll.hcl allows.
type CRLSource interface {
	// CRL returns the list at url in DER form.
	CRL(ctx context.Context, url string) (der []byte, err error)
}

// Examiner checks the prerequisites of a renewal before one is due. Its errors carry a
// finding. It orders nothing.
type Examiner interface {
	// ExamineCAA checks whether CAA records (RFC 8659) let the issuer's CA issue for
	// names that are validated through accounts.
	ExamineCAA(ctx context.Context, issuer *spec.Issuer, accounts []*spec.DNSAccount, names []string) []error
	// ExamineDelegation checks the challenge names of one account. It returns the zone of
	// each name without a problem.
	ExamineDelegation(ctx context.Context, account *spec.DNSAccount, names []string) (zones map[string]string, found []error)
	// Canary writes a TXT record as a challenge does, and removes it.
	Canary(ctx context.Context, account *spec.DNSAccount, name string, report func(step, detail string)) error
}

// CA is an ACME CA (RFC 8555). Its errors implement Class, RetryAt, OrderGone and Names,
// see package failure.
type CA interface {
	// Order creates an order and returns its URL. replaced reports whether the order
	// carries replaces (RFC 9773 section 5); if the CA rejects replaces, Order orders
	// without it.
	Order(ctx context.Context, issuer *spec.Issuer, names []string, replaces string) (url string, replaced bool, err error)
	// Finish completes an order in any state. It returns the chain as PEM, leaf first,
	// the DNS account that worked, and the errors of the accounts that did not. It never
	// creates an order.
	Finish(ctx context.Context, issuer *spec.Issuer, orderURL string, csr []byte, accounts []*spec.DNSAccount,
		report func(step, detail string)) (chain []byte, account string, passed []error, err error)
	// RenewalInfo fetches the renewal window of a certificate (RFC 9773) and the time of
	// the next query. It returns errors.ErrUnsupported if the CA offers no renewal
	// information.
	RenewalInfo(ctx context.Context, issuer *spec.Issuer, certID string) (start, end time.Time, explanation string, again time.Time, err error)
	// Revoke revokes a certificate (DER) with a reason code of RFC 5280 section 5.3.1.
	Revoke(ctx context.Context, issuer *spec.Issuer, leaf []byte, reason uint) error
}

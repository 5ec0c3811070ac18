package attempt

import (
	"context"
	"time"

	"certroll/spec"
)

// CRLSource fetches certificate revocation lists (RFC 5280 section 5). It bounds
// time and size, and connects only where certroll.hcl allows.
type CRLSource interface {
	CRL(ctx context.Context, url string) (der []byte, err error)
}

// Examiner looks at what renewals depend on, before one is due. What it finds
// are errors that satisfy finding. It orders nothing.
type Examiner interface {
	// ExamineCAA looks whether names, proven through accounts, may be issued
	// for by the issuer's CA.
	ExamineCAA(ctx context.Context, issuer *spec.Issuer, accounts []*spec.DNSAccount, names []string) []error
	// ExamineDelegation looks at where the answers for names go through one
	// account; zones are, by name, those with which nothing is wrong.
	ExamineDelegation(ctx context.Context, account *spec.DNSAccount, names []string) (zones map[string]string, found []error)
	// Canary writes and removes a TXT record as a challenge would be answered.
	Canary(ctx context.Context, account *spec.DNSAccount, name string, report func(step, detail string)) error
}

// CA is an ACME CA (RFC 8555). Its errors carry Class, RetryAt, OrderGone
// and Names.
type CA interface {
	// Order creates an order and returns its URL, and whether it carries
	// replaces: it is made without where the CA refuses because of that.
	Order(ctx context.Context, issuer *spec.Issuer, names []string, replaces string) (url string, replaced bool, err error)
	// Finish brings an order to its end from whatever state it is in and
	// returns the chain as PEM, leaf first, the DNS account that worked,
	// and why others were passed over. It never creates an order.
	Finish(ctx context.Context, issuer *spec.Issuer, orderURL string, csr []byte, accounts []*spec.DNSAccount,
		report func(step, detail string)) (chain []byte, account string, passed []error, err error)
	// RenewalInfo asks when a certificate should be renewed (RFC 9773),
	// and when to ask again. A CA that does not offer it is
	// errors.ErrUnsupported.
	RenewalInfo(ctx context.Context, issuer *spec.Issuer, certID string) (start, end time.Time, explanation string, again time.Time, err error)
	// Revoke revokes a certificate (DER) with an RFC 5280 reason code.
	Revoke(ctx context.Context, issuer *spec.Issuer, leaf []byte, reason uint) error
}

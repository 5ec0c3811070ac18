package apply

import (
	"context"
	"time"

	"certroll/reconcile/observe"
	"certroll/spec"
)

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

// What the core needs of the world. Adapters satisfy these with types of the
// standard library and spec alone; wire.go in cmd/certroll puts them together.

// SecretReader reads secrets of KV v2. An absent or deleted one is
// fs.ErrNotExist.
type SecretReader interface {
	Read(ctx context.Context, mount, path string) (data map[string]string, version int, err error)
	ReadVersion(ctx context.Context, mount, path string, version int) (map[string]string, error)
}

// SecretWriter writes them. Write fails with an error that has
// Conflict() true where the current version is not cas.
type SecretWriter interface {
	Write(ctx context.Context, mount, path string, data map[string]string, cas int) (version int, err error)
	WriteMetadata(ctx context.Context, mount, path string, custom map[string]string) error
}

// SecretRemover removes them.
type SecretRemover interface {
	// Delete soft-deletes the current version.
	Delete(ctx context.Context, mount, path string) error
	// Destroy removes all versions and the metadata.
	Destroy(ctx context.Context, mount, path string) error
}

// Secrets is all of Vault that Apply needs.
type Secrets interface {
	observe.MetadataReader
	SecretReader
	SecretWriter
	SecretRemover
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

package plan

import (
	"time"

	"certroll/reconcile/archive"
	"certroll/reconcile/ledger"
	"certroll/spec"
)

// Work is one attempt under way.
type Work struct {
	Certificate string
	Operation   ledger.Kind
	Since       time.Time
	Step        string // the attempt's step, or its wait: "order", "dns", "ca"
	Detail      string // one line for a person, or ""; never contains a secret

	Action Action
}

// The next key (key.next) is the key that the next renewal will use. certroll generates the
// key ahead of the renewal, so that TLSA records and pins can name it before it is live
// (RFC 7671 section 8.1). The private key lives in Vault beside the pending secrets, which
// only certroll reads. certroll publishes the digest of the public half in the custom
// metadata of the secret, in the record and in the events.
//
//	issue ─ K1 live, K2 staged ─ renew ─ K2 live, K3 staged ─ ...
//	        K2 published ───────────────▶ used
//
// The pending secret of an order holds a copy of the key that the order uses, and the key
// that certroll stages once the pair is live. certroll replaces the staged key only then:
// an order that fails leaves the published key in place.

// Staged is the metadata of a staged key.
type Staged struct {
	KeyDigest string // SHA-256 of its SubjectPublicKeyInfo, hex
	KeyShape  string
	Ours      bool      // carries the mark of this ledger
	Since     time.Time // time of staging; zero: unknown
}

// Secret is the metadata of one secret.
type Secret struct {
	Version  int  // current version; 0: never written
	Readable bool // the current version is neither deleted nor destroyed
	// DeletedAt is the deletion time of the current version; zero if unknown or not
	// deleted.
	DeletedAt time.Time
	Destroyed bool              // the data of the current version was destroyed, if the reader reports that
	Owner     string            // the certificate that the metadata names; "": not certroll's
	Live      *ledger.Live      // nil: not certroll's
	Custom    map[string]string // nil in Observed
}

// IsStale reports whether the metadata describes an older version than the current one.
func (s Secret) IsStale() bool { return s.Live != nil && s.Live.Version != s.Version }

// Pending is the metadata of a pending secret.
type Pending struct {
	KeyDigest string
	Follows   int       // the version of the secret that preceded the attempt
	Ours      bool      // carries the mark of this ledger
	Since     time.Time // start of the attempt; zero: unknown
	// Stray marks a pending secret without certroll's metadata; see Observer.pending.
	Stray bool
}

// Observed is the observed state: Vault's metadata and the ledger.
type Observed struct {
	Secrets map[ledger.Location]Secret
	Pending map[string]Pending        // by certificate
	Staged  map[string]Staged         // staged keys, by certificate
	Records map[string]*ledger.Record // by certificate, including those that left the spec
	History []ledger.Event            // of the last days, oldest first
	// Credentials are the versions of the DNS accounts' credentials, by account. An account
	// of unknown version is absent.
	Credentials map[string]string
	// Unreadable maps a certificate to the error that keeps certroll from reading its
	// secrets, while reading those of other certificates works.
	Unreadable map[string]string
	// Unread lists the files of the ledger that cannot be read. For a record, its last
	// readable version is in Records; other unreadable data is skipped.
	Unread []archive.Breach
	// HeldSets are the sets in the ledger that the brake holds or a person has accepted.
	HeldSets []ledger.HeldSet
	// Whole means that the ledger is current and every read of Vault succeeded. Only then
	// does a pending secret or staged key that nothing refers to count as a leftover.
	Whole bool

	// AtWork are the attempts of this process that were under way, by certificate. New
	// copies their actions and plans these certificates again once the attempts have ended.
	AtWork map[string]Work

	Turn      int                       // the crew's turn in which certroll read this state
	Published map[string]*ledger.Record // the records as the ledger has them
	// Done are the key digests, by certificate, of the pending secrets that certroll
	// deletes once the ledger has the result of their attempt.
	Done map[string]string
}

// isDone reports whether certroll deletes the pending secret once the ledger has the
// result: no attempt resumes from it.
func (o *Observed) isDone(name string, p Pending) bool {
	return p.KeyDigest != "" && p.KeyDigest == o.Done[name]
}

// TargetOf returns the mount and path that the spec gives to the secret of a certificate.
func TargetOf(c *spec.Certificate) ledger.Location {
	return ledger.Location{Mount: c.Vault.Mount, Path: c.Vault.Path}
}

package plan

import (
	"time"

	"certroll/reconcile/archive"
	"certroll/reconcile/ledger"
	"certroll/spec"
)

// Work is one attempt that is under way.
type Work struct {
	Certificate string
	Operation   ledger.Kind
	Since       time.Time
	Step        string // of the attempt, or what it waits for: "order", "dns", "ca"
	Detail      string // one line for a person, or ""; no secret is in it

	Action Action
}

// The next key (key.next) is the key that the next renewal will use, made
// ahead, so that TLSA records and pins can name it before it is live (RFC 7671
// section 8.1). It lives in Vault beside the pending secrets, where certroll
// alone reads; published is the digest of its public half: in the custom
// metadata of the secret, in the record and in the events.
//
//	issue ─ K1 live, K2 staged ─ renew ─ K2 live, K3 staged ─ ...
//	        K2 published ───────────────▶ used
//
// The pending secret of an order holds a copy of the key it uses and the one
// that is staged once the pair is live. What is staged is replaced only then:
// an order that comes to nothing leaves it as it was published.

// Staged is what the metadata of a staged key says.
type Staged struct {
	KeyDigest string // SHA-256 of its SubjectPublicKeyInfo, hex
	KeyShape  string
	Ours      bool      // it carries the mark of this ledger
	Since     time.Time // when it was staged; zero where that is not known
}

// Secret is what the metadata of one secret says.
type Secret struct {
	Version  int  // current version; 0: never written
	Readable bool // the current version is neither deleted nor destroyed
	// DeletedAt is when the current version was deleted, as far as the reader tells.
	DeletedAt time.Time
	Destroyed bool              // the data of the current version was destroyed, as far as the reader tells
	Owner     string            // the certificate it speaks of; "" where it is not certroll's
	Live      *ledger.Live      // nil where it is not certroll's
	Custom    map[string]string // nil in Observed
}

// Behind tells that the metadata speaks of an older version than the current.
func (s Secret) Behind() bool { return s.Live != nil && s.Live.Version != s.Version }

// Pending is what the metadata of a pending secret says.
type Pending struct {
	KeyDigest string
	Follows   int       // the version of the secret that it was made to follow
	Ours      bool      // it carries the mark of this ledger
	Since     time.Time // when the attempt began; zero where that is not known
	// Stray tells that no metadata of certroll's stands beside it; see Observer.pending.
	Stray bool
}

// Observed is what is there.
type Observed struct {
	Secrets map[ledger.Location]Secret
	Pending map[string]Pending        // by certificate
	Staged  map[string]Staged         // the next keys, by certificate
	Records map[string]*ledger.Record // by certificate, also of those no longer in the spec
	History []ledger.Event            // of the last days, oldest first
	// Credentials are the versions of the DNS accounts' credentials, by
	// account; one that cannot be known is left out.
	Credentials map[string]string
	// Unreadable says of certificates why what is theirs cannot be looked at,
	// while others' can.
	Unreadable map[string]string
	// Unread is what of the ledger cannot be read: of records their last readable
	// version stands in, and the rest is passed over.
	Unread []archive.Breach
	// HeldSets are what the brake holds or a person has accepted, by the ledger.
	HeldSets []ledger.HeldSet
	// Whole tells that the ledger is as it is now and all could be looked at:
	// what is pending or staged and in none of it is nobody's any more.
	Whole bool

	// AtWork are the attempts of this process that were under way, by certificate.
	// No plan is made for these: they are planned again when they have ended.
	AtWork map[string]Work

	Turn int                       // of the crew, in which that was looked at
	Told map[string]*ledger.Record // the records as the ledger has them
	// Done are the digests of the pending secrets that go once the ledger is told,
	// by certificate.
	Done map[string]string
}

// isDone tells that a pending secret goes once the ledger is told: nobody takes it
// up any more.
func (o *Observed) isDone(name string, p Pending) bool {
	return p.KeyDigest != "" && p.KeyDigest == o.Done[name]
}

// TargetOf is where a certificate belongs in Vault.
func TargetOf(c *spec.Certificate) ledger.Location {
	return ledger.Location{Mount: c.Vault.Mount, Path: c.Vault.Path}
}

package ledger

// Kind is what an action does.
type Kind string

// The kinds of action.
const (
	KindNone    Kind = "none"
	KindIssue   Kind = "issue"   // the first certificate, or one that went missing
	KindRenew   Kind = "renew"   // it is due
	KindRotate  Kind = "rotate"  // a person asked for a new key
	KindReissue Kind = "reissue" // the spec asks for something else than what is live
	KindAdopt   Kind = "adopt"   // a secret not made by certroll is already there
	KindRepair  Kind = "repair"  // what Vault says of the live pair is behind or was overwritten
	KindRetire  Kind = "retire"  // gone from the spec
	KindRevoke  Kind = "revoke"  // an earlier certificate still has to be revoked
	KindStage   Kind = "stage"   // its next key is made ahead and published, or withdrawn
	KindNote    Kind = "note"    // the ledger is told something, nothing is done
	KindHold    Kind = "hold"    // due, but must wait
)

// Orders tells whether an action of this kind asks the CA for a certificate.
func (k Kind) Orders() bool {
	return k == KindIssue || k == KindRenew || k == KindRotate || k == KindReissue
}

// KindRetry is the operation of an event by which a person ends a hold; no
// action is of this kind.
const KindRetry Kind = "retry"

// KindConfig is the operation of an event about a revision as a whole; no
// action is of this kind.
const KindConfig Kind = "config"

// KindDoctor is the operation of an event about a problem that an examination
// found, or found gone; no action is of this kind.
const KindDoctor Kind = "doctor"

// KindProbe is the operation of an event about what an endpoint serves; no
// action is of this kind.
const KindProbe Kind = "probe"

// KindPass is the operation of an event about a pass as a whole: Git or Vault
// cannot be reached, or can be again. No action is of this kind.
const KindPass Kind = "pass"

// Operations are what an event may be of, in the order of the documentation.
var Operations = []Kind{
	KindIssue, KindRenew, KindRotate, KindReissue, KindAdopt, KindRepair, KindRetire, KindRevoke, KindStage, KindNote,
	KindRetry, KindConfig, KindDoctor, KindProbe, KindPass,
}

// Reason is why an action is there. It explains; only Kind decides.
type Reason string

// The reasons of an action.
const (
	ReasonUpToDate    Reason = "up_to_date"
	ReasonUnmanaged   Reason = "unmanaged" // renewal.auto is off
	ReasonMissing     Reason = "missing"
	ReasonDeleted     Reason = "deleted" // the secret's current version was deleted
	ReasonExpired     Reason = "expired"
	ReasonThreshold   Reason = "threshold"
	ReasonRotate      Reason = "rotation_requested"
	ReasonChanged     Reason = "changed"
	ReasonForeign     Reason = "foreign" // there is a secret that certroll did not write
	ReasonRenamed     Reason = "renamed" // a moved block gives it another name
	ReasonUnfinished  Reason = "unfinished"
	ReasonDrifted     Reason = "drifted"       // somebody else wrote a version after certroll's
	ReasonBehind      Reason = "record_behind" // the ledger does not say how it is
	ReasonRemoved     Reason = "removed_from_spec"
	ReasonBackoff     Reason = "backoff"
	ReasonRateLimited Reason = "rate_limited"
	ReasonPaused      Reason = "paused"      // the CA waits for a person
	ReasonLimit       Reason = "limit"       // a limit of the CA would be passed
	ReasonBreaker     Reason = "breaker"     // its issuer or DNS account fails for many
	ReasonSpread      Reason = "spread"      // many fall due at once
	ReasonUndone      Reason = "undone"      // what certroll writes keeps disappearing or being overwritten
	ReasonAttempt     Reason = "attempt"     // orders are about to be made, and the ledger was written first
	ReasonMass        Reason = "mass_change" // too much of what is live would change at once
	ReasonNewRule     Reason = "new_rule"    // a rule that is newer than the revision in force rejects what it uses
	ReasonNotRead     Reason = "not_read"    // its file is there, and is none that is read
	ReasonWindow      Reason = "ari"         // the CA's suggested window (RFC 9773)
	ReasonRevoking    Reason = "ari_now"     // the CA wants it replaced now
	ReasonKeyAge      Reason = "key_age"     // key.max_age is reached
	ReasonRevocation  Reason = "revoke"      // the one before the last rotation is to be revoked
	ReasonSuggested   Reason = "ari_changed" // the CA's suggested window is another one
	ReasonRetry       Reason = "retry"       // a person ended a hold
	ReasonPauseBegan  Reason = "renewal_off"
	ReasonPauseEnded  Reason = "renewal_on"
	ReasonUnreadable  Reason = "unreadable"        // what is its in Vault cannot be looked at
	ReasonUnreachable Reason = "unreachable"       // of a whole pass: Git or Vault
	ReasonOverdue     Reason = "unmanaged_overdue" // it would be due, and renewal.auto is off
	ReasonNextKey     Reason = "next_key"          // key.next is on, and no key that fits is staged and published
	ReasonNextKeyLost Reason = "next_key_lost"     // the key whose digest was published is gone
	ReasonNextKeyOff  Reason = "next_key_off"      // key.next is off, and a key is staged
	ReasonNextKeyNew  Reason = "next_key_new"      // the next key is not published for long enough
	ReasonLeftAlone   Reason = "left_alone"        // somebody else changed it while renewal.auto is off
	ReasonChainEnds   Reason = "chain_ends"        // its chain ends before it, and the CA offers no other one
	ReasonChainRead   Reason = "chain_read"        // what an earlier version did not note of its chain was read
	ReasonRevoked     Reason = "revoked"           // the CA's list of revoked certificates has it
)

// Records tells that an action of this reason writes a record and an event
// and touches nothing else.
func (r Reason) Records() bool {
	return r == ReasonBehind || r == ReasonLeftAlone || r == ReasonPauseBegan || r == ReasonPauseEnded || r == ReasonOverdue
}

// WaitsForAPerson tells that a hold of this reason ends by no time of its own.
func (r Reason) WaitsForAPerson() bool { return r == ReasonMass || r == ReasonNotRead }

// ReasonRefused is the reason of a revision that was refused whole.
const ReasonRefused Reason = "revision_refused"

// ReasonTaken is the reason of a revision that is in force after one was
// refused or held back.
const ReasonTaken Reason = "revision_taken"

// The reasons of a revision that is held back, and of a person's consent.
const (
	ReasonUnsigned     Reason = "unsigned"
	ReasonBadSignature Reason = "bad_signature"
	ReasonRewritten    Reason = "rewritten"
	ReasonAccepted     Reason = "accepted"
)

// ReasonDamaged is the reason of an event about what of the ledger cannot be
// read.
const ReasonDamaged Reason = "ledger_unreadable"

// ReasonRewound is the reason of an event about the ledger's own branch.
const ReasonRewound Reason = "ledger_rewound"

// ReasonExpiring is the reason of an event about a certificate that expires
// soon and is not renewed.
const ReasonExpiring Reason = "expiring"

// The reasons of such an event.
const (
	ReasonFound Reason = "found_ahead"
	ReasonGone  Reason = "gone"
)

// ReasonProbed is the reason of an event about what an endpoint serves.
const ReasonProbed Reason = "probed"

// Status says how an operation ended.
type Status string

// The statuses of an event.
const (
	Success Status = "success"
	Failed  Status = "failure"
	Held    Status = "held"   // due, and waiting for a stated reason
	Denied  Status = "denied" // refused by certroll itself, to protect what is there
)

// StatusError is failure or denied in a query; no event has it.
const StatusError Status = "error"

// Class says what kind of failure it was, and by that what is done about it.
type Class string

// The classes of a failure.
const (
	ClassDNSUnauthorized Class = "dns_unauthorized" // a DNS provider refused the credential
	ClassDNSUnavailable  Class = "dns_unavailable"  // a DNS provider or server did not answer
	ClassDNSPropagation  Class = "dns_propagation"  // the record was not seen in time
	ClassDNSOccupied     Class = "dns_occupied"     // somebody else's record stands where the provider would remove it
	ClassCAA             Class = "caa"              // a CAA record forbids this CA
	ClassRateLimited     Class = "rate_limited"     // the CA said when to come back
	ClassValidation      Class = "validation"       // the CA looked and did not find the answer
	ClassCARejected      Class = "ca_rejected"      // the CA refuses this order for good
	ClassPaused          Class = "paused"           // the CA waits for a person
	ClassCAUnavailable   Class = "ca_unavailable"   // the CA did not answer, or is down
	ClassVault           Class = "vault"
	ClassGit             Class = "git"
	ClassConfig          Class = "config"
	ClassInternal        Class = "internal"
)

// Classes are all of them, in the order of the documentation.
var Classes = []Class{
	ClassDNSUnauthorized, ClassDNSUnavailable, ClassDNSPropagation, ClassDNSOccupied, ClassCAA, ClassRateLimited,
	ClassValidation, ClassCARejected, ClassPaused, ClassCAUnavailable, ClassVault, ClassGit, ClassConfig, ClassInternal,
}

// OfAccount tells whether a failure of this class is the DNS account's, and
// not the certificate's.
func (c Class) OfAccount() bool { return c == ClassDNSUnauthorized || c == ClassDNSUnavailable }

// OfIssuer tells whether a failure of this class is the issuer's.
func (c Class) OfIssuer() bool { return c == ClassCAUnavailable || c == ClassRateLimited }

// AnotherIssuerMayHelp tells whether a failure of this class may be one of the
// CA alone.
func (c Class) AnotherIssuerMayHelp() bool {
	switch c {
	case ClassCAA, ClassRateLimited, ClassValidation, ClassCARejected, ClassPaused, ClassCAUnavailable, ClassConfig:
		return true
	default:
		return false
	}
}

// The classes of problems with what is served.
const (
	ClassExpired     Class = "expired"
	ClassOther       Class = "other_certificate"
	ClassStale       Class = "stale"
	ClassIncomplete  Class = "incomplete_chain"
	ClassUnreachable Class = "unreachable"
	ClassDenied      Class = "denied"
)

// ServedClasses are all of them.
var ServedClasses = []Class{ClassExpired, ClassOther, ClassStale, ClassIncomplete, ClassUnreachable, ClassDenied}

// Owner says whose a failure is: who else fails by it, and whom mending it frees.
type Owner string

// The owners of a failure; "" is Vault, Git or certroll itself.
const (
	OwnerCertificate Owner = "certificate"  // its names, its zone, its settings
	OwnerAccount     Owner = "acme_account" // the issuer's account at the CA
	OwnerIssuer      Owner = "issuer"       // the CA as a whole
	OwnerDNSAccount  Owner = "dns_account"
	OwnerPlace       Owner = "place" // one place in Vault
)

// Severity says how bad a finding is.
type Severity string

// The severities of a finding.
const (
	SeverityError   Severity = "error"   // a renewal will fail by it
	SeverityWarning Severity = "warning" // it may, or one of several ways to it is shut
	SeverityInfo    Severity = "info"    // good to know
)

// Severities are all of them, the worst first.
var Severities = []Severity{SeverityError, SeverityWarning, SeverityInfo}

// SeverityPage is the severity of what a person is to be woken for.
const SeverityPage = "page"

// PageAfter is the failure in a row from which on a person is to be woken.
const PageAfter = 3

// Exemption says from which of its limits a CA frees a renewal.
// https://letsencrypt.org/docs/rate-limits/#limit-exemptions-for-renewals
type Exemption string

// The exemptions.
const (
	// ExemptARI is a renewal sent inside its suggested window with "replaces"
	// (RFC 9773 section 5): free of the limits on orders and certificates.
	ExemptARI Exemption = "ari"
	// ExemptRenewal is another certificate for the very same names: free of
	// the limits on orders and on certificates per domain.
	ExemptRenewal Exemption = "renewal"
)

// Revision is where the spec came from.
type Revision struct {
	Commit string // "" for a plain directory
	Author string // "Name <mail>", as the commit says
}

// IsPatient tells whether what is done for the reason may wait some minutes, as
// long as what is live is far from its end.
func (r Reason) IsPatient() bool {
	switch r {
	case ReasonThreshold, ReasonWindow, ReasonKeyAge, ReasonChanged:
		return true
	default:
		return false
	}
}

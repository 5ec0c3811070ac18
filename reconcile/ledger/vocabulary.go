package ledger

// Kind is the kind of an action.
type Kind string

// The kinds of actions.
const (
	KindNone    Kind = "none"
	KindIssue   Kind = "issue"   // first certificate, or its secret went missing
	KindRenew   Kind = "renew"   // due
	KindRotate  Kind = "rotate"  // a person asked for a new key
	KindReissue Kind = "reissue" // the spec differs from the live certificate
	KindAdopt   Kind = "adopt"   // the path holds a secret that certroll did not write
	KindRepair  Kind = "repair"  // Vault's metadata of the live pair is outdated, or the pair was overwritten
	KindRetire  Kind = "retire"  // left the spec
	KindRevoke  Kind = "revoke"  // an earlier certificate is still to be revoked
	KindStage   Kind = "stage"   // generate and publish the next key, or withdraw it
	KindNote    Kind = "note"    // write to the ledger only
	KindHold    Kind = "hold"    // due, but waiting
)

// Orders reports whether an action of this kind orders a certificate from the CA.
func (k Kind) Orders() bool {
	return k == KindIssue || k == KindRenew || k == KindRotate || k == KindReissue
}

// KindRetry is the operation of an event by which a person ends a hold. No action has this
// kind.
const KindRetry Kind = "retry"

// KindConfig is the operation of an event about a whole revision. No action has this kind.
const KindConfig Kind = "config"

// KindDoctor is the operation of an event about a problem that doctor found or no longer
// finds. No action has this kind.
const KindDoctor Kind = "doctor"

// KindProbe is the operation of an event about the certificate that an endpoint serves. No
// action has this kind.
const KindProbe Kind = "probe"

// KindPass is the operation of an event about a whole pass: Git or Vault became
// unreachable, or reachable again. No action has this kind.
const KindPass Kind = "pass"

// Operations lists the operations of events, in the order of the documentation.
var Operations = []Kind{
	KindIssue, KindRenew, KindRotate, KindReissue, KindAdopt, KindRepair, KindRetire, KindRevoke, KindStage, KindNote,
	KindRetry, KindConfig, KindDoctor, KindProbe, KindPass,
}

// Reason is the cause of an action. It explains the action; only Kind decides what runs.
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
	ReasonForeign     Reason = "foreign" // the path holds a secret that certroll did not write
	ReasonRenamed     Reason = "renamed" // a moved block gives the certificate another name
	ReasonUnfinished  Reason = "unfinished"
	ReasonDrifted     Reason = "drifted"       // another program wrote a version after certroll's
	ReasonBehind      Reason = "record_behind" // the record is outdated
	ReasonRemoved     Reason = "removed_from_spec"
	ReasonBackoff     Reason = "backoff"
	ReasonRateLimited Reason = "rate_limited"
	ReasonPaused      Reason = "paused"      // the CA waits for a person to unpause the account
	ReasonLimit       Reason = "limit"       // would pass a limit of the CA
	ReasonBreaker     Reason = "breaker"     // its issuer or DNS account fails for many certificates
	ReasonSpread      Reason = "spread"      // many certificates fall due at once
	ReasonUndone      Reason = "undone"      // certroll's version keeps disappearing or being overwritten
	ReasonAttempt     Reason = "attempt"     // written before the orders of a pass
	ReasonMass        Reason = "mass_change" // the brake: too many live certificates would change at once
	ReasonNewRule     Reason = "new_rule"    // a rule newer than the revision in force rejects the spec
	ReasonNotRead     Reason = "not_read"    // its file exists but is not read as configuration
	ReasonWindow      Reason = "ari"         // the CA's suggested window (RFC 9773)
	ReasonRevoking    Reason = "ari_now"     // the CA wants the certificate replaced now
	ReasonKeyAge      Reason = "key_age"     // key.max_age is reached
	ReasonRevocation  Reason = "revoke"      // the certificate before the last rotation is to be revoked
	ReasonSuggested   Reason = "ari_changed" // the CA's suggested window changed
	ReasonRetry       Reason = "retry"       // a person ended a hold
	ReasonPauseBegan  Reason = "renewal_off"
	ReasonPauseEnded  Reason = "renewal_on"
	ReasonUnreadable  Reason = "unreadable"        // certroll cannot read the certificate's secrets
	ReasonUnreachable Reason = "unreachable"       // Git or Vault is unreachable for a whole pass
	ReasonOverdue     Reason = "unmanaged_overdue" // due, but renewal.auto is off
	ReasonNextKey     Reason = "next_key"          // key.next is on, and no suitable key is staged and published
	ReasonNextKeyLost Reason = "next_key_lost"     // the published key is gone
	ReasonNextKeyOff  Reason = "next_key_off"      // key.next is off, and a key is staged
	ReasonNextKeyNew  Reason = "next_key_new"      // the next key was published too recently
	ReasonLeftAlone   Reason = "left_alone"        // another program changed the secret while renewal.auto is off
	ReasonChainEnds   Reason = "chain_ends"        // the chain ends before the certificate, and the CA offers no other one
	ReasonChainRead   Reason = "chain_read"        // chain facts that an earlier version did not store were read
	ReasonRevoked     Reason = "revoked"           // a CRL lists the live certificate
)

// Records reports whether an action of this reason writes only a record and an event.
func (r Reason) Records() bool {
	return r == ReasonBehind || r == ReasonLeftAlone || r == ReasonPauseBegan || r == ReasonPauseEnded || r == ReasonOverdue
}

// WaitsForAPerson reports whether a hold of this reason has no end of its own.
func (r Reason) WaitsForAPerson() bool { return r == ReasonMass || r == ReasonNotRead }

// ReasonRefused is the reason of an event about a revision that certroll rejected as a
// whole.
const ReasonRefused Reason = "revision_refused"

// ReasonTaken is the reason of an event about a revision that came into force after one was
// rejected or held.
const ReasonTaken Reason = "revision_taken"

// The reasons why a revision is held, and the reason of a person's consent.
const (
	ReasonUnsigned     Reason = "unsigned"
	ReasonBadSignature Reason = "bad_signature"
	ReasonRewritten    Reason = "rewritten"
	ReasonAccepted     Reason = "accepted"
)

// ReasonDamaged is the reason of an event about a file or line of the ledger that cannot be
// read.
const ReasonDamaged Reason = "ledger_unreadable"

// ReasonRewound is the reason of an event about a rewind of the ledger's branch.
const ReasonRewound Reason = "ledger_rewound"

// ReasonExpiring is the reason of an event about a certificate that expires soon and is not
// renewed.
const ReasonExpiring Reason = "expiring"

// The reasons of KindDoctor and KindProbe events.
const (
	ReasonFound Reason = "found_ahead"
	ReasonGone  Reason = "gone"
)

// ReasonProbed is the reason of an event about the certificate that an endpoint serves.
const ReasonProbed Reason = "probed"

// Status is the result of an operation.
type Status string

// The statuses of an event.
const (
	Success Status = "success"
	Failed  Status = "failure"
	Held    Status = "held"   // due, and waiting for the event's reason
	Denied  Status = "denied" // certroll refused, to protect an existing secret
)

// StatusError selects failure and denied in a query. No event has it.
const StatusError Status = "error"

// Class is the kind of a failure. It determines the wait and the owner.
type Class string

// The classes of a failure.
const (
	ClassDNSUnauthorized Class = "dns_unauthorized" // the DNS provider rejected the credential
	ClassDNSUnavailable  Class = "dns_unavailable"  // the DNS provider or a DNS server did not answer
	ClassDNSPropagation  Class = "dns_propagation"  // the record did not become visible in time
	ClassDNSOccupied     Class = "dns_occupied"     // another program's record stands where the provider would delete
	ClassCAA             Class = "caa"              // a CAA record forbids this CA
	ClassRateLimited     Class = "rate_limited"     // the CA's rate limit was passed
	ClassValidation      Class = "validation"       // the CA did not find the challenge response
	ClassCARejected      Class = "ca_rejected"      // the CA rejects this order permanently
	ClassPaused          Class = "paused"           // the CA waits for a person to unpause the account
	ClassCAUnavailable   Class = "ca_unavailable"   // the CA did not answer, or is down
	ClassVault           Class = "vault"
	ClassGit             Class = "git"
	ClassConfig          Class = "config"
	ClassInternal        Class = "internal"
)

// Classes lists all classes, in the order of the documentation.
var Classes = []Class{
	ClassDNSUnauthorized, ClassDNSUnavailable, ClassDNSPropagation, ClassDNSOccupied, ClassCAA, ClassRateLimited,
	ClassValidation, ClassCARejected, ClassPaused, ClassCAUnavailable, ClassVault, ClassGit, ClassConfig, ClassInternal,
}

// OfAccount reports whether the DNS account causes failures of this class.
func (c Class) OfAccount() bool { return c == ClassDNSUnauthorized || c == ClassDNSUnavailable }

// OfIssuer reports whether the issuer causes failures of this class.
func (c Class) OfIssuer() bool { return c == ClassCAUnavailable || c == ClassRateLimited }

// AnotherIssuerMayHelp reports whether the CA alone may cause failures of this class.
func (c Class) AnotherIssuerMayHelp() bool {
	switch c {
	case ClassCAA, ClassRateLimited, ClassValidation, ClassCARejected, ClassPaused, ClassCAUnavailable, ClassConfig:
		return true
	default:
		return false
	}
}

// The classes of problems that a probe finds.
const (
	ClassExpired     Class = "expired"           // the served certificate has expired
	ClassOther       Class = "other_certificate" // the served certificate is not certroll's
	ClassStale       Class = "stale"             // an earlier certificate, after the consumer's time to reload
	ClassIncomplete  Class = "incomplete_chain"  // the live certificate without its issuer's certificate
	ClassUnreachable Class = "unreachable"       // no answer
	ClassDenied      Class = "denied"            // certroll.hcl does not allow the connection
)

// ServedClasses lists all classes of probes, the worst first.
var ServedClasses = []Class{ClassExpired, ClassOther, ClassStale, ClassIncomplete, ClassUnreachable, ClassDenied}

// Owner is the party that a failure belongs to. A fix at the owner helps all certificates
// that depend on it.
type Owner string

// The owners of a failure; "" stands for Vault, Git or certroll itself.
const (
	OwnerCertificate Owner = "certificate"  // the certificate's names, zone or settings
	OwnerAccount     Owner = "acme_account" // the issuer's account at the CA
	OwnerIssuer      Owner = "issuer"       // the CA as a whole
	OwnerDNSAccount  Owner = "dns_account"
	OwnerPlace       Owner = "place" // one place in Vault
)

// Severity is the severity of a finding.
type Severity string

// The severities of a finding.
const (
	SeverityError   Severity = "error"   // a renewal will fail
	SeverityWarning Severity = "warning" // a renewal may fail, or one of several ways is unusable
	SeverityInfo    Severity = "info"    // no effect on a renewal
)

// Severities lists all severities, the worst first.
var Severities = []Severity{SeverityError, SeverityWarning, SeverityInfo}

// SeverityPage marks an event that should wake a person.
const SeverityPage = "page"

// PageAfter is the number of failures in a row from which events page a person.
const PageAfter = 3

// Exemption states which rate limits a CA waives for a renewal.
// https://letsencrypt.org/docs/rate-limits/#limit-exemptions-for-renewals
type Exemption string

// The exemptions.
const (
	// ExemptARI is a renewal with "replaces", sent inside its suggested window (RFC 9773
	// section 5). Let's Encrypt waives the limits on orders, certificates per domain and
	// exact sets.
	ExemptARI Exemption = "ari"
	// ExemptRenewal is another certificate for exactly the same names. Let's Encrypt waives
	// the limits on orders and on certificates per domain.
	ExemptRenewal Exemption = "renewal"
)

// Revision is the origin of a spec.
type Revision struct {
	Commit string // "" for a directory without Git
	Author string // "Name <mail>" of the commit
}

// IsPatient reports whether an action of this reason can wait some minutes while the live
// certificate is far from expiry.
func (r Reason) IsPatient() bool {
	switch r {
	case ReasonThreshold, ReasonWindow, ReasonKeyAge, ReasonChanged:
		return true
	default:
		return false
	}
}

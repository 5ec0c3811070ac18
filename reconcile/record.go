package reconcile

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"certroll/spec"
)

// RecordSchema is the version of the record's JSON shape. Readers accept every
// version up to it; a field is only ever added, never given a new meaning.
const RecordSchema = 1

// State says in one word how a certificate stands.
type State string

// The states of a record.
const (
	StateLive    State = "live"    // a valid pair is in Vault
	StateFailing State = "failing" // the last attempt failed; what is live, if anything, still is
	StateRetired State = "retired" // gone from the spec
)

// Record is the status of one certificate as the ledger keeps it, in
// certificates/<name>.json. It never holds anything secret.
type Record struct {
	Schema      int               `json:"schema"`
	Certificate string            `json:"certificate"`
	State       State             `json:"state"`
	Names       []string          `json:"names"`  // as sent to the CA, in the order of the spec
	Labels      map[string]string `json:"labels"` // never null
	File        string            `json:"file"`   // where the spec declares it
	OnRemove    spec.OnRemove     `json:"on_remove"`
	Probe       []string          `json:"probe"`        // endpoints where it is looked at what is served, never null
	Live        *Live             `json:"live"`         // null: nothing was issued yet
	Failures    int               `json:"failures"`     // consecutive failed attempts
	LastFailure *Failure          `json:"last_failure"` // null after a success
	// FailingSince is the first of the consecutive failures; null after a success.
	FailingSince *time.Time `json:"failing_since"`
	Severity     string     `json:"severity"` // "page" from the third failure in a row on, else ""
	Hold         *Hold      `json:"hold"`     // null: nothing is held back
	// RenewAt is when it becomes due, by the CA's renewal information or the
	// threshold; null where it is not renewed by itself.
	RenewAt     *time.Time   `json:"renew_at"`
	RenewalInfo *RenewalInfo `json:"renewal_info"` // null: the CA said nothing
	Unmanaged   *Unmanaged   `json:"unmanaged"`    // null: it is renewed by itself
	Revocations []Revocation `json:"revocations"`  // that wait to be revoked, never null
	// Rotations are the rotation requests that were satisfied, the last one
	// last, never null: none of them forces another rotation.
	Rotations []string `json:"rotations"`
	// Undone are the last times that what certroll had written was gone or
	// overwritten and certroll wrote again, the last one last.
	Undone []Undone `json:"undone,omitempty"`
	// ChallengeNames are the names that CNAMEs at _acme-challenge led to when
	// the live certificate was issued; null where nothing is known of it.
	ChallengeNames *[]string `json:"challenge_names,omitempty"`
	// Revoked is what the issuer's CRL says of what is live; null: nothing.
	Revoked *Revoked `json:"revoked,omitempty"`
	// ForeignVersion is the version that somebody else wrote while renewal.auto is off,
	// and that is left alone (0: the secret is gone); null: none.
	ForeignVersion *int `json:"foreign_version,omitempty"`
	// LeftBehind are the secrets that it was read from before vault.path moved.
	LeftBehind []LeftBehind `json:"left_behind,omitempty"`
	// Gone says that what is live was deleted by somebody else; null: it is there.
	Gone *Gone `json:"gone,omitempty"`
	// RevokedBefore is the serial of the revoked certificate that the live one took
	// the place of; "" where that was not revoked.
	RevokedBefore string `json:"revoked_before,omitempty"`
	// Formerly are the names that it had before, the last one last: events until then are
	// its own.
	Formerly  []Former  `json:"formerly,omitempty"`
	UpdatedAt time.Time `json:"updated_at"`
}

// holds tells that a secret is there by what the record says, of one that is nil
// too.
func (r *Record) holds() bool { return r != nil && r.Live != nil && r.State != StateRetired }

// Failure is the last failed attempt.
type Failure struct {
	At         time.Time `json:"at"`
	Operation  Kind      `json:"operation"`
	Class      Class     `json:"class"`
	Message    string    `json:"message"` // the upstream's own words, secrets struck out
	DNSAccount string    `json:"dns_account"`
	Issuer     string    `json:"issuer"`
}

// Unmanaged says that a person turned the renewal off.
type Unmanaged struct {
	Since    time.Time  `json:"since"`
	Until    *time.Time `json:"until"` // null: without an end
	Reason   string     `json:"reason"`
	By       string     `json:"by"` // the author of the commit it was first seen in
	Revision string     `json:"revision"`
	// Overdue tells that it has been said that a renewal would be due.
	Overdue bool `json:"overdue"`
}

// Revocation is an earlier certificate that still has to be revoked.
type Revocation struct {
	Serial string `json:"serial"`
	Issuer string `json:"issuer"`
	// Directory is that of the issuer; "" was written by a certroll that kept it not.
	Directory string `json:"directory,omitempty"`
	Mount     string `json:"vault_mount"`
	Path      string `json:"vault_path"`
	Version   int    `json:"vault_version"` // where it can be read
	Code      uint   `json:"code"`          // RFC 5280 section 5.3.1
	// NotAfter is when it expires and need not be revoked any more; the zero
	// time where that is not known.
	NotAfter time.Time `json:"not_after"`
}

// Hold keeps a due action back until a stated time.
type Hold struct {
	Until time.Time `json:"until"`
	Class Class     `json:"class"`
	// Reason is one sentence: why it waits.
	Reason string `json:"reason"`
	// SpecDigest is the spec the failed attempt was made with: another spec
	// ends the hold, since the change may be the cure.
	SpecDigest string `json:"spec_digest"`
	// Stands says that another spec does not end the hold: it may be the next
	// question that somebody asks a key.
	Stands bool `json:"stands,omitempty"`
	// Issuer is the one that failed: another issuer of the spec is not held.
	Issuer string `json:"issuer"`
	// Credentials are the versions of the DNS accounts' credentials that the
	// attempt was made with, by account: another version ends the hold.
	Credentials map[string]string `json:"credentials"`
	// Owner is whose failure it was. A hold of the ACME account's ends for all of
	// its certificates as soon as one of them has succeeded.
	Owner Owner `json:"owner,omitempty"`
}

// MarshalRecord renders a record as the ledger stores it.
func MarshalRecord(r *Record) ([]byte, error) {
	if r.Names == nil {
		r.Names = []string{}
	}
	if r.Labels == nil {
		r.Labels = map[string]string{}
	}
	if r.Probe == nil {
		r.Probe = []string{}
	}
	if r.Revocations == nil {
		r.Revocations = []Revocation{}
	}
	if r.Rotations == nil {
		r.Rotations = []string{}
	}
	b, err := plainJSON(r, "  ")
	if err != nil {
		return nil, fmt.Errorf("encoding the record of %q: %w", r.Certificate, err)
	}
	return append(b, '\n'), nil
}

// newerSchema ends what is said of a record that a newer certroll may have written.
const newerSchema = "use a newer certroll"

// UnmarshalRecord reads a record of this schema or an earlier one.
func UnmarshalRecord(b []byte) (*Record, error) {
	r := &Record{}
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("reading a record: %w", err)
	}
	if r.Schema < 1 || r.Schema > RecordSchema {
		return nil, fmt.Errorf("the record of %q has schema %d, this certroll reads 1 to %d: "+newerSchema,
			r.Certificate, r.Schema, RecordSchema)
	}
	if r.Certificate == "" {
		return nil, fmt.Errorf("a record names no certificate")
	}
	return r, nil
}

// newRecord starts the record that an attempt for c ends in, keeping what the
// old one knows.
func newRecord(c *spec.Certificate, old *Record, now time.Time) *Record {
	r := &Record{
		Schema:      RecordSchema,
		Certificate: c.Name,
		Names:       c.Names(),
		Labels:      c.Labels,
		File:        c.File,
		OnRemove:    c.OnRemove,
		Probe:       c.Endpoints(),
		UpdatedAt:   old.next(now),
	}
	if old != nil {
		r.Live = old.Live
		r.Failures = old.Failures
		r.LastFailure = old.LastFailure
		r.FailingSince = old.FailingSince
		r.RenewalInfo = old.RenewalInfo
		r.Unmanaged = old.Unmanaged
		r.Revocations = old.Revocations
		r.Rotations = old.Rotations
		r.ChallengeNames = old.ChallengeNames
		r.Revoked, r.RevokedBefore = old.Revoked, old.RevokedBefore
		r.Undone = old.Undone
		r.Gone = old.Gone
		r.LeftBehind = old.LeftBehind
		r.Formerly = old.Formerly
	}
	return r
}

// next is the time that the record after this one carries: it is always later,
// also where the clock was set back, since the later record is the one that
// stands.
func (r *Record) next(now time.Time) time.Time {
	now = now.UTC().Truncate(time.Second)
	if r != nil && !now.After(r.UpdatedAt) {
		return r.UpdatedAt.Add(time.Second)
	}
	return now
}

// mostRotations is how many rotation requests a record remembers.
const mostRotations = 100

// addRotation adds a rotation request that was satisfied.
func (r *Record) addRotation(text string) {
	token := rotateToken(text)
	if token == "" || slices.Contains(r.Rotations, token) {
		return
	}
	r.Rotations = append(slices.Clone(r.Rotations), token)
	r.Rotations = r.Rotations[max(0, len(r.Rotations)-mostRotations):]
}

// Rotated tells whether a rotation request was satisfied before, so that it
// forces nothing any more.
func (r *Record) Rotated(text string) bool {
	return r != nil && (slices.Contains(r.Rotations, rotateToken(text)) || r.Live != nil && r.Live.Satisfies(text))
}

package ledger

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"certroll/reconcile/times"
	"certroll/spec"
)

// KeepNames fills in the names that only the record knows.
func KeepNames(l, recorded *Live) *Live {
	if recorded == nil || recorded.Serial != l.Serial {
		return l
	}
	c := *l
	c.Names = recorded.Names
	return &c
}

// Gone says that somebody else deleted what is live in Vault, and that nothing is
// there instead yet: whoever reads the secret gets nothing.
type Gone struct {
	At        time.Time `json:"at"`            // when it was deleted, else when that was seen
	Version   int       `json:"vault_version"` // that was current; 0: no version is left
	Destroyed bool      `json:"destroyed"`     // its data is gone for good
}

// Text says what is gone, and how it comes back without the CA.
func (g *Gone) Text(at Location) string {
	switch {
	case g.Version == 0:
		return fmt.Sprintf("%s was deleted with all its versions (noticed %s), and readers get nothing; no command brings it back, so it has to be issued again", at, times.StampOf(g.At))
	case g.Destroyed:
		return fmt.Sprintf("version %d of %s was destroyed (noticed %s), and readers get nothing; no command brings it back, so it has to be issued again", g.Version, at, times.StampOf(g.At))
	default: // the command stands where a table does not cut it off
		return fmt.Sprintf("%s was deleted (%s brings it back without the CA): version %d, %s; readers get nothing", at, Undelete(at, g.Version), g.Version, times.StampOf(g.At))
	}
}

// Undelete is the command that brings back a version that was deleted.
func Undelete(at Location, version int) string {
	return fmt.Sprintf("vault kv undelete -mount=%s -versions=%d %s", at.Mount, version, at.Path)
}

// GoneText says of a record what of it is gone; "" where nothing is.
func (r *Record) GoneText() string {
	if r.Gone == nil || !r.HasSecret() {
		return ""
	}
	return r.Gone.Text(Location{r.Live.Mount, r.Live.Path})
}

// LeftBehind is a secret that the certificate was read from before vault.path moved. It
// is not renewed, and stays until somebody deletes it.
type LeftBehind struct {
	Mount   string    `json:"vault_mount"`
	Path    string    `json:"vault_path"`
	Version int       `json:"vault_version"` // that certroll wrote there last
	Since   time.Time `json:"since"`
}

// At is where the secret is.
func (l LeftBehind) At() Location { return Location{l.Mount, l.Path} }

// Text says what is left behind, and what to do about it.
func (l LeftBehind) Text(now Location) string {
	return fmt.Sprintf("%s stays at version %d and is no longer renewed (vault.path moved %s): read %s, then delete it (vault kv metadata delete -mount=%s %s)",
		l.At(), l.Version, l.Since.UTC().Format(time.DateOnly), now, l.Mount, l.Path)
}

// LeftText says of each secret that was left behind what is to be done; none: nothing.
func (r *Record) LeftText() []string {
	if !r.HasSecret() {
		return nil
	}
	lines := make([]string, len(r.LeftBehind))
	for i, l := range r.LeftBehind {
		lines[i] = l.Text(Location{r.Live.Mount, r.Live.Path})
	}
	return lines
}

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

// HasSecret tells that a secret is there by what the record says, of one that is nil
// too.
func (r *Record) HasSecret() bool { return r != nil && r.Live != nil && r.State != StateRetired }

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
	b, err := PlainJSON(r, "  ")
	if err != nil {
		return nil, fmt.Errorf("encoding the record of %q: %w", r.Certificate, err)
	}
	return append(b, '\n'), nil
}

// NewerSchema ends what is said of a record that a newer certroll may have written.
const NewerSchema = "use a newer certroll"

// UnmarshalRecord reads a record of this schema or an earlier one.
func UnmarshalRecord(b []byte) (*Record, error) {
	r := &Record{}
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("reading a record: %w", err)
	}
	if r.Schema < 1 || r.Schema > RecordSchema {
		return nil, fmt.Errorf("the record of %q has schema %d, this certroll reads 1 to %d: "+NewerSchema,
			r.Certificate, r.Schema, RecordSchema)
	}
	if r.Certificate == "" {
		return nil, fmt.Errorf("a record names no certificate")
	}
	return r, nil
}

// NewRecord starts the record that an attempt for c ends in, keeping what the
// old one knows.
func NewRecord(c *spec.Certificate, old *Record, now time.Time) *Record {
	r := &Record{
		Schema:      RecordSchema,
		Certificate: c.Name,
		Names:       c.Names(),
		Labels:      c.Labels,
		File:        c.File,
		OnRemove:    c.OnRemove,
		Probe:       c.Endpoints(),
		UpdatedAt:   old.Next(now),
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

// Next is the time that the record after this one carries: it is always later,
// also where the clock was set back, since the later record is the one that
// stands.
func (r *Record) Next(now time.Time) time.Time {
	now = now.UTC().Truncate(time.Second)
	if r != nil && !now.After(r.UpdatedAt) {
		return r.UpdatedAt.Add(time.Second)
	}
	return now
}

// mostRotations is how many rotation requests a record remembers.
const mostRotations = 100

// AddRotation adds a rotation request that was satisfied.
func (r *Record) AddRotation(text string) {
	token := RotateToken(text)
	if token == "" || slices.Contains(r.Rotations, token) {
		return
	}
	r.Rotations = append(slices.Clone(r.Rotations), token)
	r.Rotations = r.Rotations[max(0, len(r.Rotations)-mostRotations):]
}

// Rotated tells whether a rotation request was satisfied before, so that it
// forces nothing any more.
func (r *Record) Rotated(text string) bool {
	return r != nil && (slices.Contains(r.Rotations, RotateToken(text)) || r.Live != nil && r.Live.Satisfies(text))
}

// lastYear is that of the latest record that another one can follow: JSON's
// times end with the year after it, and what cannot be noted holds nothing back.
const lastYear = 9998

// Belongs tells whether certroll may have written a record to a file. What is
// told of it goes to the file of its name: one that lies elsewhere would be told
// of for ever, and one that no file can have never. It is taken for none, since
// what somebody else puts there is to stop no renewal.
func (r *Record) Belongs(file string) bool {
	return r != nil && spec.IsCertificateName(r.Certificate) && r.Certificate+".json" == file && r.UpdatedAt.Year() <= lastYear
}

// A certificate that a moved block gives another name goes on with what it was: its
// secret, its record and its history. Nothing is ordered.
//
//	record a ──┐ moved { from = "a", to = "b" }
//	           ├── adopt b: the metadata names b, and the record of b continues that of a
//	secret  ───┘── retire a: its record is closed, and nothing else is done

// Former is a name that a certificate had, and until when.
type Former struct {
	Name  string    `json:"name"`
	Until time.Time `json:"until"`
}

// Tells whether an event of the name belongs to the certificate that has another one now.
// That the record of the name was closed does not.
func (f Former) Tells(e *Event) bool {
	return f.Name == e.Certificate && !e.Time.After(f.Until) && e.Operation != KindRetire
}

// History picks the events of the certificate, with those of its former names, in their
// order.
func (r *Record) History(byName map[string][]Event) []Event {
	own := slices.Clone(byName[r.Certificate])
	for _, f := range r.Formerly {
		for _, e := range byName[f.Name] {
			if f.Name != r.Certificate && f.Tells(&e) {
				own = append(own, e)
			}
		}
	}
	slices.SortStableFunc(own, func(a, b Event) int { return a.Time.Compare(b.Time) })
	return own
}

// IsOpen tells that there is a record, and that it is not closed.
func (r *Record) IsOpen() bool { return r != nil && r.State != StateRetired }

// FailsToAdopt tells that what failed last took a secret over.
func FailsToAdopt(r *Record) bool {
	return r.LastFailure != nil && r.LastFailure.Operation == KindAdopt
}

// Under is the record as it goes on under another name, which may have had an own one.
func (r *Record) Under(name string, own *Record) *Record {
	next := *r
	next.Certificate = name
	if next.State == StateRetired {
		next.State = StateLive
	}
	if own != nil && own.UpdatedAt.After(next.UpdatedAt) {
		next.UpdatedAt = own.UpdatedAt
	}
	if own.IsOpen() && own.State == StateFailing && !FailsToAdopt(own) {
		next.State, next.Severity, next.Hold = own.State, own.Severity, own.Hold
		next.Failures, next.LastFailure, next.FailingSince = own.Failures, own.LastFailure, own.FailingSince
	}
	return &next
}

// Waits tells that the record counts failures, or holds something back.
func (r *Record) Waits() bool {
	return r.Failures > 0 || r.LastFailure != nil || r.Hold != nil || len(r.Undone) > 0 || r.Gone != nil
}

// HadName tells whether the certificate once had that name.
func (r *Record) HadName(name string) bool {
	return slices.ContainsFunc(r.Formerly, func(f Former) bool { return f.Name == name })
}

// ComesFrom adds a former name to the record, or says until when it was the last one; ""
// is none.
func (r *Record) ComesFrom(name string, now time.Time) {
	if name == "" || name == r.Certificate {
		return
	}
	before := r.Formerly
	if r.CameFrom(name) {
		before = before[:len(before)-1]
	}
	r.Formerly = append(slices.Clone(before), Former{name, now.Truncate(time.Second)})
	r.Formerly = r.Formerly[max(0, len(r.Formerly)-mostFormer):]
}

// CameFrom tells that the name is the one that it had last.
func (r *Record) CameFrom(name string) bool {
	n := len(r.Formerly)
	return n > 0 && r.Formerly[n-1].Name == name
}

// mostFormer is how many former names a record remembers.
const mostFormer = 100

// Undone is one time that certroll found gone, or overwritten, what it had
// written, and put something in its place.
type Undone struct {
	At        time.Time `json:"at"`            // when certroll wrote again
	Reason    Reason    `json:"reason"`        // missing, deleted, drifted or foreign
	Version   int       `json:"vault_version"` // that certroll had written
	WrittenAt time.Time `json:"written_at"`    // when that certificate was issued
}

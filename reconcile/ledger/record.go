package ledger

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"certroll/spec"
	"certroll/spec/text"
)

// KeepNames returns l with the names of the record. Metadata has only their digest.
func KeepNames(l, recorded *Live) *Live {
	if recorded == nil || recorded.Serial != l.Serial {
		return l
	}
	c := *l
	c.Names = recorded.Names
	return &c
}

// Gone records that another program deleted the live secret, and that no new version is
// there yet: readers get nothing.
type Gone struct {
	At        time.Time `json:"at"`            // time of the deletion, or else of its discovery
	Version   int       `json:"vault_version"` // then current; 0: no version is left
	Destroyed bool      `json:"destroyed"`     // the data is lost
}

// Text describes the deletion and the command that undoes it without the CA.
func (g *Gone) Text(at Location) string {
	switch {
	case g.Version == 0:
		return fmt.Sprintf("%s was deleted with all its versions (noticed %s), and readers get nothing; no command brings it back, so it has to be issued again", at, text.Stamp(g.At))
	case g.Destroyed:
		return fmt.Sprintf("version %d of %s was destroyed (noticed %s), and readers get nothing; no command brings it back, so it has to be issued again", g.Version, at, text.Stamp(g.At))
	default: // the command comes early, where a table does not cut it off
		return fmt.Sprintf("%s was deleted (%s brings it back without the CA): version %d, %s; readers get nothing", at, Undelete(at, g.Version), g.Version, text.Stamp(g.At))
	}
}

// Undelete returns the command that restores a deleted version.
func Undelete(at Location, version int) string {
	return fmt.Sprintf("vault kv undelete -mount=%s -versions=%d %s", at.Mount, version, at.Path)
}

// GoneText describes the deletion of the record's secret; "" if it was not deleted.
func (r *Record) GoneText() string {
	if r.Gone == nil || !r.HasSecret() {
		return ""
	}
	return r.Gone.Text(Location{r.Live.Mount, r.Live.Path})
}

// LeftBehind is a secret at a former vault.path. certroll no longer renews it, and it stays
// until a person deletes it.
type LeftBehind struct {
	Mount   string    `json:"vault_mount"`
	Path    string    `json:"vault_path"`
	Version int       `json:"vault_version"` // last version that certroll wrote there
	Since   time.Time `json:"since"`
}

// At returns the location of the secret.
func (l LeftBehind) At() Location { return Location{l.Mount, l.Path} }

// Text describes the secret and the steps to remove it. now is the new location.
func (l LeftBehind) Text(now Location) string {
	return fmt.Sprintf("%s stays at version %d and is no longer renewed (vault.path moved %s): read %s, then delete it (vault kv metadata delete -mount=%s %s)",
		l.At(), l.Version, l.Since.UTC().Format(time.DateOnly), now, l.Mount, l.Path)
}

// LeftText returns one line for each secret left behind.
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

// RecordSchema is the version of the record's JSON shape. Readers accept every version up
// to it. Later versions may add fields, but never change the meaning of one.
const RecordSchema = 1

// Record is the status of one certificate, in certificates/<name>.json of the ledger. It
// contains no secrets.
type Record struct {
	Schema      int               `json:"schema"`
	Certificate string            `json:"certificate"`
	State       State             `json:"state"`  // one of StoredStates
	Names       []string          `json:"names"`  // as sent to the CA, in the order of the spec
	Labels      map[string]string `json:"labels"` // never null
	File        string            `json:"file"`   // of the certificate's block
	OnRemove    spec.OnRemove     `json:"on_remove"`
	Probe       []string          `json:"probe"`        // endpoints to probe, never null
	Live        *Live             `json:"live"`         // null: nothing issued yet
	Failures    int               `json:"failures"`     // consecutive failed attempts
	LastFailure *Failure          `json:"last_failure"` // null after a success
	// FailingSince is the time of the first failure in a row; null after a success.
	FailingSince *time.Time `json:"failing_since"`
	Severity     string     `json:"severity"` // "page" from the third failure in a row, else ""
	Hold         *Hold      `json:"hold"`     // null: no hold
	// RenewAt is the due time, by the CA's renewal information or the threshold; null if
	// certroll does not renew the certificate by itself.
	RenewAt     *time.Time   `json:"renew_at"`
	RenewalInfo *RenewalInfo `json:"renewal_info"` // null: none from the CA
	Unmanaged   *Unmanaged   `json:"unmanaged"`    // null: certroll renews the certificate by itself
	Revocations []Revocation `json:"revocations"`  // still to be revoked, never null
	// Rotations are the satisfied rotation requests, the newest last, never null. None of
	// them causes another rotation.
	Rotations []string `json:"rotations"`
	// Undone are the last times that certroll found its version deleted or overwritten and
	// wrote again, the newest last.
	Undone []Undone `json:"undone,omitempty"`
	// ChallengeNames are the targets of CNAMEs at _acme-challenge when the live certificate
	// was issued; null if unknown.
	ChallengeNames *[]string `json:"challenge_names,omitempty"`
	// Revoked is the entry of the live certificate in the issuer's CRL; null: none.
	Revoked *Revoked `json:"revoked,omitempty"`
	// ForeignVersion is the version that another program wrote while renewal.auto is off,
	// and that certroll leaves alone (0: the secret is gone); null: none.
	ForeignVersion *int `json:"foreign_version,omitempty"`
	// LeftBehind are the secrets at former values of vault.path.
	LeftBehind []LeftBehind `json:"left_behind,omitempty"`
	// Gone describes the deletion of the live secret by another program; null: not deleted.
	Gone *Gone `json:"gone,omitempty"`
	// RevokedBefore is the serial of the revoked certificate that the live one replaced; ""
	// if that was not revoked.
	RevokedBefore string `json:"revoked_before,omitempty"`
	// Formerly are the former names, the newest last. Events of such a name up to its end
	// belong to this certificate.
	Formerly  []Former  `json:"formerly,omitempty"`
	UpdatedAt time.Time `json:"updated_at"`
}

// HasSecret reports whether the record describes a secret in Vault; false for a nil record.
func (r *Record) HasSecret() bool { return r != nil && r.Live != nil && r.State != StateRetired }

// Failure is the last failed attempt.
type Failure struct {
	At         time.Time `json:"at"`
	Operation  Kind      `json:"operation"`
	Class      Class     `json:"class"`
	Message    string    `json:"message"` // the upstream's message, without secrets
	DNSAccount string    `json:"dns_account"`
	Issuer     string    `json:"issuer"`
}

// Unmanaged records that a person turned renewal off.
type Unmanaged struct {
	Since    time.Time  `json:"since"`
	Until    *time.Time `json:"until"` // null: no end
	Reason   string     `json:"reason"`
	By       string     `json:"by"` // author of the first commit with renewal off
	Revision string     `json:"revision"`
	// Overdue records that an event about the missed renewal exists.
	Overdue bool `json:"overdue"`
}

// Revocation is an earlier certificate that is still to be revoked.
type Revocation struct {
	Serial string `json:"serial"`
	Issuer string `json:"issuer"`
	// Directory is the issuer's directory URL; "" in records of earlier versions.
	Directory string `json:"directory,omitempty"`
	Mount     string `json:"vault_mount"`
	Path      string `json:"vault_path"`
	Version   int    `json:"vault_version"` // version with the certificate and key
	Code      uint   `json:"code"`          // RFC 5280 section 5.3.1
	// NotAfter is the certificate's end, after which revocation is unnecessary; zero if
	// unknown.
	NotAfter time.Time `json:"not_after"`
}

// Hold delays a due action until a time.
type Hold struct {
	Until time.Time `json:"until"`
	Class Class     `json:"class"`
	// Reason is one sentence with the cause of the wait.
	Reason string `json:"reason"`
	// SpecDigest identifies the spec of the failed attempt. Another spec ends the hold,
	// because the change may be the cure.
	SpecDigest string `json:"spec_digest"`
	// Stands means that another spec does not end the hold. Otherwise an author of
	// vault.fields could learn about a key from one failing template after another.
	Stands bool `json:"stands,omitempty"`
	// Issuer is the issuer that failed. The hold does not cover another issuer of the spec.
	Issuer string `json:"issuer"`
	// Credentials are the versions of the DNS accounts' credentials in the attempt, by
	// account. Another version ends the hold.
	Credentials map[string]string `json:"credentials"`
	// Owner is the party that the failure belongs to. A hold of the ACME account ends for
	// all its certificates as soon as one of them succeeds.
	Owner Owner `json:"owner,omitempty"`
}

// MarshalRecord encodes a record for the ledger. Lists and maps become empty, never null.
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

// NewerSchema ends the error about a record of a newer certroll.
const NewerSchema = "use a newer certroll"

// UnmarshalRecord decodes a record of this schema or an earlier one.
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

// NewRecord starts the record of an attempt for c with the facts of the old record. State,
// severity and hold are the result of the attempt.
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

// Next returns UpdatedAt of the next record: always later than that of r, even if the clock
// was set back, because the later record wins.
func (r *Record) Next(now time.Time) time.Time {
	now = now.UTC().Truncate(time.Second)
	if r != nil && !now.After(r.UpdatedAt) {
		return r.UpdatedAt.Add(time.Second)
	}
	return now
}

// mostRotations bounds the rotation requests of a record.
const mostRotations = 100

// AddRotation adds a satisfied rotation request.
func (r *Record) AddRotation(text string) {
	token := RotateToken(text)
	if token == "" || slices.Contains(r.Rotations, token) {
		return
	}
	r.Rotations = append(slices.Clone(r.Rotations), token)
	r.Rotations = r.Rotations[max(0, len(r.Rotations)-mostRotations):]
}

// Rotated reports whether the rotation request was satisfied before.
func (r *Record) Rotated(text string) bool {
	return r != nil && (slices.Contains(r.Rotations, RotateToken(text)) || r.Live != nil && r.Live.Satisfies(text))
}

// lastYear is the last year of a record that another one can follow: JSON times end with
// the year 9999. A record that certroll cannot update must not delay anything.
const lastYear = 9998

// Belongs reports whether certroll may have written the record to a file. certroll writes a
// record only to the file of its name. It ignores a record in another file, or with a name
// that no file can have: an update would never replace that file, and a misplaced record
// must not stop a renewal.
func (r *Record) Belongs(file string) bool {
	return r != nil && spec.IsCertificateName(r.Certificate) && r.Certificate+".json" == file && r.UpdatedAt.Year() <= lastYear
}

// A certificate that a moved block renames keeps its secret, record and history. certroll
// orders nothing:
//
//	record a ──┐ moved { from = "a", to = "b" }
//	           ├── adopt b: the metadata names b, and the record of b continues that of a
//	secret  ───┘── retire a: its record is closed, and nothing else is done

// Former is a former name of a certificate, and the end of its use.
type Former struct {
	Name  string    `json:"name"`
	Until time.Time `json:"until"`
}

// Tells reports whether an event of the former name belongs to the renamed certificate. The
// event that closed the former record does not.
func (f Former) Tells(e *Event) bool {
	return f.Name == e.Certificate && !e.Time.After(f.Until) && e.Operation != KindRetire
}

// History returns the certificate's events and those of its former names, by time.
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

// IsOpen reports whether the record exists and is not closed.
func (r *Record) IsOpen() bool { return r != nil && r.State != StateRetired }

// FailsToAdopt reports whether the last failure was adopting a secret.
func FailsToAdopt(r *Record) bool {
	return r.LastFailure != nil && r.LastFailure.Operation == KindAdopt
}

// Under returns the record as it continues under another name. own is the record that the
// new name already has; nil if none.
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

// Waits reports whether the record counts failures or has a hold.
func (r *Record) Waits() bool {
	return r.Failures > 0 || r.LastFailure != nil || r.Hold != nil || len(r.Undone) > 0 || r.Gone != nil
}

// HadName reports whether the certificate once had the name.
func (r *Record) HadName(name string) bool {
	return slices.ContainsFunc(r.Formerly, func(f Former) bool { return f.Name == name })
}

// ComesFrom adds a former name to the record. If the name is already the last one, its end
// becomes now. "" adds nothing.
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

// CameFrom reports whether the name is the last former name.
func (r *Record) CameFrom(name string) bool {
	n := len(r.Formerly)
	return n > 0 && r.Formerly[n-1].Name == name
}

// mostFormer bounds the former names of a record.
const mostFormer = 100

// Undone is one occurrence of a secret that certroll found deleted or overwritten and wrote
// again.
type Undone struct {
	At        time.Time `json:"at"`            // time of certroll's write
	Reason    Reason    `json:"reason"`        // missing, deleted, drifted or foreign
	Version   int       `json:"vault_version"` // version that certroll had written
	WrittenAt time.Time `json:"written_at"`    // issue time of that certificate
}

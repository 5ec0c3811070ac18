package ledger

import (
	"fmt"
	"strings"
	"time"

	"certroll/reconcile/times"
	"certroll/spec/text"
)

// MoveConsentLasts is how long a person's consent to a move lasts. A move comes with the
// next renewal of each certificate, so the consent has to outlast the longest lifetime of
// any public CA.
const MoveConsentLasts = 400 * times.Day

// MassMove is the change of a held certificate that would be written to another Vault path
// with its next renewal.
const MassMove = Kind("move")

// Text describes the set and the command that ends the hold.
func (set *HeldSet) Text() string {
	return set.Summary() + "; certroll holds them until a person runs certroll accept --missing " + set.ID
}

// massWords describes the kinds of changes, for the summary.
var massWords = []struct {
	what Kind
	text string
}{
	{KindRetire, "gone from the config repo"}, {KindIssue, "gone from Vault"}, {KindReissue, "to reissue by a change of the spec"}, {MassMove, "to move to another place in Vault"},
}

// Summary returns one part of a sentence: how many live certificates would change, and how.
func (set *HeldSet) Summary() string {
	count := map[Kind]int{}
	for _, c := range set.Certificates {
		count[c.What]++
	}
	var parts []string
	for _, w := range massWords {
		if n := count[w.what]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, w.text))
		}
	}
	live, now := text.Counted(set.Live, "live certificate"), strings.Join(parts, ", ")
	if set.Done > 0 {
		return fmt.Sprintf("%d of %s within 24 hours: %s now, %d changed earlier", len(set.Certificates)+set.Done, live, now, set.Done)
	}
	return fmt.Sprintf("%d of %s at once: %s", len(set.Certificates), live, now)
}

// Names returns the names of the set's certificates.
func (set *HeldSet) Names() []string {
	names := make([]string, len(set.Certificates))
	for i, c := range set.Certificates {
		names[i] = c.Certificate
	}
	return names
}

// Digest identifies the set by its certificates, changes and causes. Consent to one set
// does not cover another.
func (set *HeldSet) Digest() string {
	parts := []string{"mass"}
	for _, c := range set.Certificates {
		parts = append(parts, c.Certificate, string(c.What), c.Cause)
	}
	return EventID(parts...)
}

// HeldFile is the file in the ledger with the set that the brake holds and the accepted
// sets. It changes only when one of them does.
const HeldFile = "held.json"

const (
	// HeldSchema is the version of the file's JSON shape.
	HeldSchema = 1
	// MostHeldSets bounds the sets in the file.
	MostHeldSets = 20
)

// HeldSets is the content of HeldFile.
type HeldSets struct {
	Schema int       `json:"schema"`
	Sets   []HeldSet `json:"sets"` // the held set, and recently accepted ones
}

// HeldSet is a set of changes that the brake holds together.
type HeldSet struct {
	ID       string    `json:"id"` // Digest of the set
	Since    time.Time `json:"since"`
	Revision string    `json:"revision"` // of the config repo
	Live     int       `json:"live"`     // certificates that are live, or were a day ago
	Done     int       `json:"done"`     // certificates that changed in the day before
	// AcceptedAt is the time of a person's consent; null: none yet.
	AcceptedAt   *time.Time        `json:"accepted_at"`
	AcceptedBy   string            `json:"accepted_by"`
	Certificates []HeldCertificate `json:"certificates"` // sorted by name
}

// HeldCertificate is one certificate of a held set.
type HeldCertificate struct {
	Certificate string `json:"certificate"`
	What        Kind   `json:"what"`  // retire, issue, reissue or move
	Cause       string `json:"cause"` // digest of the live serial and the change
}

// OverID returns the id of the event that ends the hold. It contains Since, because the
// same set may be held again.
func (set *HeldSet) OverID() string { return EventID("mass over", set.ID, text.Stamp(set.Since)) }

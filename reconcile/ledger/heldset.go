package ledger

import (
	"fmt"
	"strings"
	"time"

	"certroll/reconcile/times"
	"certroll/spec/text"
)

// MoveConsentLasts is how long a person's consent lasts for a move, which comes with
// the next renewal of each certificate: longer than any public CA issues for.
const MoveConsentLasts = 400 * times.Day

// MassMove is what a held certificate would be: written to another place in Vault
// with its next renewal.
const MassMove = Kind("move")

// Text says what the set is and how a person ends the hold.
func (set *HeldSet) Text() string {
	return set.Summary() + ", which waits for a person; see that it is meant, and run certroll accept --missing " + set.ID
}

// massWords are what would happen to how many.
var massWords = []struct {
	what Kind
	text string
}{
	{KindRetire, "gone from the config repo"}, {KindIssue, "gone from Vault"}, {KindReissue, "to reissue by a change of the spec"}, {MassMove, "to move to another place in Vault"},
}

// Summary is one part of a sentence: what would happen to how many of those that
// are live.
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
	s := fmt.Sprintf("%d of %s at once: %s", len(set.Certificates), text.Counted(set.Live, "live certificate"), strings.Join(parts, ", "))
	if set.Done > 0 {
		s += fmt.Sprintf(", after %d within the last 24 hours", set.Done)
	}
	return s
}

// Names are those of the set's certificates.
func (set *HeldSet) Names() []string {
	names := make([]string, len(set.Certificates))
	for i, c := range set.Certificates {
		names[i] = c.Certificate
	}
	return names
}

// Digest identifies the set by what would happen to whom and why: another set is
// another one, and consent to this one is none to that.
func (set *HeldSet) Digest() string {
	parts := []string{"mass"}
	for _, c := range set.Certificates {
		parts = append(parts, c.Certificate, string(c.What), c.Cause)
	}
	return EventID(parts...)
}

// HeldFile holds what the brake holds, and what of it a person has accepted. It
// changes only when either comes.
const HeldFile = "held.json"

const (
	// HeldSchema is the version of its JSON shape.
	HeldSchema = 1
	// MostHeldSets bounds what is kept of accepted ones.
	MostHeldSets = 20
)

// HeldSets is that file.
type HeldSets struct {
	Schema int       `json:"schema"`
	Sets   []HeldSet `json:"sets"` // the last one that is held, and those accepted of late
}

// HeldSet is what the brake holds as one.
type HeldSet struct {
	ID       string    `json:"id"` // derived from the certificates and causes
	Since    time.Time `json:"since"`
	Revision string    `json:"revision"` // of the config repo
	Live     int       `json:"live"`     // of so many that are live, or were a day ago
	Done     int       `json:"done"`     // so many were changed within the day before
	// AcceptedAt is when a person accepted it; null: nobody has.
	AcceptedAt   *time.Time        `json:"accepted_at"`
	AcceptedBy   string            `json:"accepted_by"`
	Certificates []HeldCertificate `json:"certificates"` // by name
}

// HeldCertificate is one of a held set.
type HeldCertificate struct {
	Certificate string `json:"certificate"`
	What        Kind   `json:"what"`  // retire, issue, reissue or move
	Cause       string `json:"cause"` // a digest of what is live and of what would be done about it
}

// OverID is the id of the event that ends the hold. The same set may be held again.
func (set *HeldSet) OverID() string { return EventID("mass over", set.ID, times.StampOf(set.Since)) }

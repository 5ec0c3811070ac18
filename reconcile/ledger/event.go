package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"
)

// EventSchema is the version of the event's JSON shape.
const EventSchema = 1

// Event is one line of the audit log. Empty fields are left out, so that a
// line holds what there is to say and no more.
type Event struct {
	Schema      int       `json:"schema"`
	ID          string    `json:"id"` // derived from what happened: the same story has the same id
	Time        time.Time `json:"time"`
	Operation   Kind      `json:"operation"`
	Certificate string    `json:"certificate,omitempty"`
	// Certificates are the first of those that it concerns, where it is about many.
	Certificates []string `json:"certificates,omitempty"`
	Subject      string   `json:"subject,omitempty"` // what holds many, as "dns.NAME", or who is away
	Names        []string `json:"names,omitempty"`   // as sent to the CA, where it was asked for a certificate
	Status       Status   `json:"status"`
	Severity     string   `json:"severity,omitempty"` // "page" from the third failure in a row on, and of a revision held back
	Reason       Reason   `json:"reason,omitempty"`
	Detail       string   `json:"detail,omitempty"`
	Actor        string   `json:"actor,omitempty"` // the commit's author, the CLI user, or "schedule"
	Cause        string   `json:"cause,omitempty"` // "spec", "schedule", "drift" or "command"
	Revision     string   `json:"revision,omitempty"`
	OldRevision  string   `json:"old_revision,omitempty"` // that was in force, where another is held back or accepted; of a rewritten ledger, its head before
	LeftBehind   string   `json:"left_behind,omitempty"`  // the secret at the path before, which is no longer renewed
	OldSerial    string   `json:"old_serial,omitempty"`
	NewSerial    string   `json:"new_serial,omitempty"`
	KeyDigest    string   `json:"key_digest,omitempty"`
	NextKey      string   `json:"next_key_digest,omitempty"` // of the key that the next renewal uses, where it is staged
	Issuer       string   `json:"issuer,omitempty"`
	Directory    string   `json:"directory,omitempty"` // the issuer's ACME directory, where it was asked
	DNSAccount   string   `json:"dns_account,omitempty"`
	// DNSAccounts are all that answered for a name, where more than one did.
	DNSAccounts []string `json:"dns_accounts,omitempty"`
	// PassedOver are the DNS accounts that were tried before DNSAccount.
	PassedOver  []PassedOver `json:"passed_over,omitempty"`
	VaultPath   string       `json:"vault_path,omitempty"` // mount and path
	VaultVer    int          `json:"vault_version,omitempty"`
	OrderURL    string       `json:"order_url,omitempty"`
	Orders      int          `json:"orders,omitempty"`       // made in this attempt, where more than one
	Exempt      Exemption    `json:"exempt,omitempty"`       // from which of the CA's limits the order was
	Unfit       bool         `json:"unfit,omitempty"`        // the CA issued a certificate for the order, and it was not written
	FailedNames []string     `json:"failed_names,omitempty"` // that the CA looked at in vain
	Revoked     string       `json:"revoked,omitempty"`      // the serial that was revoked
	Endpoint    string       `json:"endpoint,omitempty"`     // that was looked at
	// Credentials are the versions of the DNS accounts' credentials that it
	// failed with, by account; one that cannot be known is left out.
	Credentials map[string]string `json:"credentials,omitempty"`
	Class       Class             `json:"class,omitempty"`
	Owner       Owner             `json:"owner,omitempty"`   // whose failure it is
	Message     string            `json:"message,omitempty"` // the upstream's own words
	Failures    int               `json:"failures,omitempty"`
	// Recovered is how many failures in a row a success has ended.
	Recovered int `json:"recovered,omitempty"`
	// HoldUntil is when it is tried again after a failure.
	HoldUntil *time.Time `json:"hold_until,omitempty"`
	Duration  float64    `json:"duration_seconds,omitempty"`
	// Forced tells that a person asked for it against the CA's own word.
	Forced bool `json:"forced,omitempty"`
	// Unscheduled tells that it was tried before the turn of who holds it, as a
	// person asked for it or changed its settings: a failure holds nobody else.
	Unscheduled bool `json:"unscheduled,omitempty"`
	// Prev is the SHA-256 of the line before this one, without its newline;
	// empty only in the first line of a ledger.
	Prev string `json:"prev,omitempty"`
}

// PassedOver is a DNS account that failed before another one was used.
type PassedOver struct {
	Account string `json:"account"`
	Class   Class  `json:"class"`
	Message string `json:"message"` // the provider's own words, secrets struck out
}

// MostConcerned bounds the certificates that an event about many names.
const MostConcerned = 100

// Concerns names those that the event is about.
func (e *Event) Concerns(certificates []string) {
	if len(certificates) == 1 {
		e.Certificate = certificates[0]
		return
	}
	e.Certificates = certificates[:min(len(certificates), MostConcerned)]
}

// EventID derives an id from what happened.
func EventID(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:12])
}

// IdsIn adds the ids that an audit file names. To look for each event's id in
// turn would take a journal of thousands, after a long outage, many minutes.
func IdsIn(b []byte, ids map[string]bool) {
	const field = `"id":"`
	for {
		_, rest, ok := bytes.Cut(b, []byte(field))
		if !ok {
			return
		}
		id, rest, _ := bytes.Cut(rest, []byte(`"`))
		ids[string(id)] = true
		b = rest
	}
}

// LineHash is what the next line's Prev says of this one.
func LineHash(line []byte) string {
	sum := sha256.Sum256(line)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// AuditDir is the directory of the audit log.
const AuditDir = "audit"

// Concerned are the certificates that an event names.
func Concerned(e *Event) []string {
	if e.Certificate != "" {
		return []string{e.Certificate}
	}
	return e.Certificates
}

// HeldEvent tells that something holds many certificates. Its id is the same
// all day: it is told once.
func HeldEvent(now time.Time, s Subject, why Reason, detail string, class Class, message string) Event {
	now = now.UTC()
	return Event{
		Schema: EventSchema, ID: EventID("held", string(s), string(why), now.Format(time.DateOnly)), Time: now.Truncate(time.Millisecond),
		Operation: KindHold, Status: Held, Subject: string(s), Reason: why, Detail: detail, Actor: "schedule", Cause: "schedule", Class: class, Message: message,
	}
}

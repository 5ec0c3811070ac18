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

// Event is one line of the audit log. Empty fields are left out, to keep lines short.
type Event struct {
	Schema      int       `json:"schema"`
	ID          string    `json:"id"` // derived from the event, so that the same event has the same id
	Time        time.Time `json:"time"`
	Operation   Kind      `json:"operation"`
	Certificate string    `json:"certificate,omitempty"`
	// Certificates are the first MostConcerned certificates of an event about many.
	Certificates []string `json:"certificates,omitempty"`
	Subject      string   `json:"subject,omitempty"` // holds many certificates, such as "dns.NAME", or is unreachable
	Names        []string `json:"names,omitempty"`   // as sent to the CA, in events about an order
	Status       Status   `json:"status"`
	Severity     string   `json:"severity,omitempty"` // "page" from the third failure in a row, and for a held revision
	Reason       Reason   `json:"reason,omitempty"`
	Detail       string   `json:"detail,omitempty"`
	Actor        string   `json:"actor,omitempty"` // the commit's author, the CLI user, or "schedule"
	Cause        string   `json:"cause,omitempty"` // "spec", "schedule", "drift" or "command"
	Revision     string   `json:"revision,omitempty"`
	OldRevision  string   `json:"old_revision,omitempty"` // in force, when another is held or accepted; for a rewritten ledger, its earlier head
	LeftBehind   string   `json:"left_behind,omitempty"`  // secret at the former path, no longer renewed
	OldSerial    string   `json:"old_serial,omitempty"`
	NewSerial    string   `json:"new_serial,omitempty"`
	KeyDigest    string   `json:"key_digest,omitempty"`
	NextKey      string   `json:"next_key_digest,omitempty"` // of the staged key
	Issuer       string   `json:"issuer,omitempty"`
	Directory    string   `json:"directory,omitempty"` // the issuer's ACME directory, in events about an order
	DNSAccount   string   `json:"dns_account,omitempty"`
	// DNSAccounts are all accounts that proved a name, if more than one.
	DNSAccounts []string `json:"dns_accounts,omitempty"`
	// PassedOver are the DNS accounts that failed before DNSAccount was used.
	PassedOver  []PassedOver `json:"passed_over,omitempty"`
	VaultPath   string       `json:"vault_path,omitempty"` // mount and path
	VaultVer    int          `json:"vault_version,omitempty"`
	OrderURL    string       `json:"order_url,omitempty"`
	Orders      int          `json:"orders,omitempty"`       // orders of this attempt, if more than one
	Exempt      Exemption    `json:"exempt,omitempty"`       // rate limits that the CA waived for the order
	Unfit       bool         `json:"unfit,omitempty"`        // the CA issued a certificate for the order, and certroll did not write it
	FailedNames []string     `json:"failed_names,omitempty"` // names that the CA validated without success
	Revoked     string       `json:"revoked,omitempty"`      // serial of the revoked certificate
	Endpoint    string       `json:"endpoint,omitempty"`     // endpoint of the probe
	// Credentials are the versions of the DNS accounts' credentials in a failed attempt, by
	// account. An account of unknown version is absent.
	Credentials map[string]string `json:"credentials,omitempty"`
	Class       Class             `json:"class,omitempty"`
	Owner       Owner             `json:"owner,omitempty"`   // the party that the failure belongs to
	Message     string            `json:"message,omitempty"` // the upstream's message
	Failures    int               `json:"failures,omitempty"`
	// Recovered is the number of failures in a row that a success ended.
	Recovered int `json:"recovered,omitempty"`
	// HoldUntil is the time of the next attempt after a failure.
	HoldUntil *time.Time `json:"hold_until,omitempty"`
	Duration  float64    `json:"duration_seconds,omitempty"`
	// Forced records that a person retried despite the CA's Retry-After.
	Forced bool `json:"forced,omitempty"`
	// Unscheduled records a probe before its time, because a person retried or changed
	// settings. Its failure does not delay other certificates.
	Unscheduled bool `json:"unscheduled,omitempty"`
	// Prev is the SHA-256 of the previous line without its newline; empty only in the first
	// line of a ledger.
	Prev string `json:"prev,omitempty"`
}

// PassedOver is a DNS account that failed before another one was used.
type PassedOver struct {
	Account string `json:"account"`
	Class   Class  `json:"class"`
	Message string `json:"message"` // the provider's message, without secrets
}

// MostConcerned bounds the certificates that one event names.
const MostConcerned = 100

// Concerns sets the certificates that the event is about, up to MostConcerned.
func (e *Event) Concerns(certificates []string) {
	if len(certificates) == 1 {
		e.Certificate = certificates[0]
		return
	}
	e.Certificates = certificates[:min(len(certificates), MostConcerned)]
}

// EventID derives an id from the parts that identify an event.
func EventID(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:12])
}

// IdsIn adds the ids in an audit file to ids. A search per event would take many minutes
// for a journal with thousands of entries after a long outage.
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

// LineHash returns the value of Prev in the line after this one.
func LineHash(line []byte) string {
	sum := sha256.Sum256(line)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// AuditDir is the directory of the audit log in the ledger.
const AuditDir = "audit"

// Concerned returns the certificates that an event names.
func Concerned(e *Event) []string {
	if e.Certificate != "" {
		return []string{e.Certificate}
	}
	return e.Certificates
}

// HeldEvent returns an event about a subject that holds many certificates. Its id contains
// the date, so that the ledger has at most one such event a day.
func HeldEvent(now time.Time, s Subject, why Reason, detail string, class Class, message string) Event {
	now = now.UTC()
	return Event{
		Schema: EventSchema, ID: EventID("held", string(s), string(why), now.Format(time.DateOnly)), Time: now.Truncate(time.Millisecond),
		Operation: KindHold, Status: Held, Subject: string(s), Reason: why, Detail: detail, Actor: "schedule", Cause: "schedule", Class: class, Message: message,
	}
}

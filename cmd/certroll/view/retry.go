package view

import (
	"io"
	"time"

	"certroll/reconcile/recorder"
	"certroll/spec/text"
)

// RetrySchema is the version of the JSON of retry.
const RetrySchema = 1

// Retry is the result of a retry command. Arrays are never null.
type Retry struct {
	Schema       int       `json:"schema"`
	Certificates []Retried `json:"certificates"`
	Commit       string    `json:"ledger_commit"` // "" if nothing was recorded
}

// Retried is the result for one certificate.
type Retried struct {
	Certificate string     `json:"certificate"`
	Recorded    bool       `json:"told"`       // false: there was no hold
	HeldUntil   *time.Time `json:"held_until"` // of the hold that no longer applies; null for none
	Class       string     `json:"class"`      // of that hold; "" for the reason undone
	Failures    int        `json:"failures"`   // in a row; the count continues
	// UndoneUntil is until when a loss of the secret would have waited; null: it would not.
	UndoneUntil *time.Time `json:"undone_until"`
}

// NewRetry builds the view of a retry.
func NewRetry(done []recorder.Retried, commit string) Retry {
	dto := Retry{Schema: RetrySchema, Certificates: make([]Retried, 0, len(done)), Commit: commit}
	for _, d := range done {
		r := Retried{Certificate: d.Certificate, Recorded: d.Event != nil, Failures: d.Failures}
		if h := d.Hold; h != nil {
			r.HeldUntil, r.Class = &h.Until, string(h.Class)
		}
		if u := d.Undone; u != nil {
			r.UndoneUntil = &u.Until
			if r.HeldUntil == nil && u.Held {
				r.HeldUntil = r.UndoneUntil
			}
		}
		dto.Certificates = append(dto.Certificates, r)
	}
	return dto
}

// WriteRetry prints one line per certificate.
func WriteRetry(w io.Writer, p Palette, dto Retry) {
	out := printer{w}
	for _, r := range dto.Certificates {
		switch {
		case r.HeldUntil != nil && r.Class == "":
			out.f("%s: its hold until %s (undone) is ended; the next run tries it\n", p.bold(r.Certificate), text.Stamp(*r.HeldUntil))
		case r.HeldUntil != nil:
			// Not "is ended": a new credential or spec may have ended it before.
			out.f("%s: its hold until %s (%s, %s in a row) no longer applies; the next run tries it\n", p.bold(r.Certificate), text.Stamp(*r.HeldUntil), r.Class, text.Counted(r.Failures, "failure"))
		case r.UndoneUntil != nil:
			out.f("%s: if its secret disappears again, the next run replaces it without a wait until %s (undone)\n", p.bold(r.Certificate), text.Stamp(*r.UndoneUntil))
		case r.Recorded:
			out.f("%s: it is the next to be tried where its issuer or DNS account is held for all (certroll explain %s)\n", p.bold(r.Certificate), r.Certificate)
		default:
			out.f("%s: nothing holds it back by itself (certroll explain %s)\n", p.bold(r.Certificate), r.Certificate)
		}
	}
	if dto.Commit != "" {
		out.f("Ledger at %s.\n", dto.Commit[:min(12, len(dto.Commit))])
	}
}

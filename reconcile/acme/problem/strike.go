package problem

import (
	"errors"
	"strings"

	"certroll/spec/redact"
)

// longest bounds texts that are no problem documents, in bytes. Without it whole HTML
// pages and JSON answers would end up in errors, and so in Git.
const longest = 2000

// Clip cuts a text to 2000 bytes.
func Clip(text string) string { return ClipTo(longest, text) }

// ClipTo cuts a text to most bytes, between characters, and appends an ellipsis.
func ClipTo(most int, text string) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// Strike returns err without the secrets that the redactor knows: CAs and DNS servers
// quote what they received. It copies the error, because concurrent callers that waited
// for one session share it.
func Strike(secrets *redact.Redactor, err error) error {
	var e *Error
	var f *Finding
	switch {
	case errors.As(err, &f):
		struck := *f
		struck.Why = struckError(secrets, f.Why)
		return &struck
	case errors.As(err, &e):
		return struckError(secrets, e)
	}
	return err
}

func struckError(secrets *redact.Redactor, e *Error) *Error {
	struck := *e
	struck.Said = secrets.Strike(e.Said)
	return &struck
}

// StrikeAll applies Strike to each error, in place.
func StrikeAll(secrets *redact.Redactor, errs []error) []error {
	for i, err := range errs {
		errs[i] = Strike(secrets, err)
	}
	return errs
}

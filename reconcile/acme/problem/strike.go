package problem

import (
	"errors"
	"strings"

	"certroll/spec/redact"
)

// longest bounds a text that is no problem document: pages of HTML and whole
// JSON answers end up in errors otherwise, and errors in Git.
const longest = 2000

// Clip cuts a text that is no problem document.
func Clip(text string) string { return ClipTo(longest, text) }

// ClipTo cuts a text that is longer than most bytes, between two letters.
func ClipTo(most int, text string) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// Strike is err without the secrets that the redactor knows: CAs and DNS servers
// quote what they were sent. The error is copied, since those who wait for one
// session share its failure.
func Strike(secrets *redact.Redactor, err error) error {
	var e *Error
	var f *Finding
	switch {
	case errors.As(err, &f):
		told := *f
		told.Why = struckError(secrets, f.Why)
		return &told
	case errors.As(err, &e):
		return struckError(secrets, e)
	}
	return err
}

func struckError(secrets *redact.Redactor, e *Error) *Error {
	told := *e
	told.Said = secrets.Strike(e.Said)
	return &told
}

// StrikeAll strikes the secrets from each of them.
func StrikeAll(secrets *redact.Redactor, errs []error) []error {
	for i, err := range errs {
		errs[i] = Strike(secrets, err)
	}
	return errs
}

package acme

import (
	"errors"
	"strings"

	"certroll/spec/redact"
)

// longest bounds a text that is no problem document: pages of HTML and whole
// JSON answers end up in errors otherwise, and errors in Git.
const longest = 2000

func clip(text string) string { return clipTo(longest, text) }

func clipTo(most int, text string) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// struck is err without the secrets that the redactor knows: CAs and DNS servers
// quote what they were sent. The error is copied, since those who wait for one
// session share its failure.
func struck(secrets *redact.Redactor, err error) error {
	var e *Error
	var f *Finding
	switch {
	case errors.As(err, &f):
		told := *f
		told.why = struckError(secrets, f.why)
		return &told
	case errors.As(err, &e):
		return struckError(secrets, e)
	}
	return err
}

func struckError(secrets *redact.Redactor, e *Error) *Error {
	told := *e
	told.said = secrets.Strike(e.said)
	return &told
}

// struckAll strikes the secrets from each of them.
func struckAll(secrets *redact.Redactor, errs []error) []error {
	for i, err := range errs {
		errs[i] = struck(secrets, err)
	}
	return errs
}

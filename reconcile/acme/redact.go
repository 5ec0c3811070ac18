package acme

import (
	"errors"
	"strings"
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

// struck is err with no secret in it that this Client has resolved: CAs and DNS
// servers quote what they were sent. The error is copied, since those who wait
// for one session share its failure.
func (c *Client) struck(err error) error {
	var e *Error
	var f *Finding
	switch {
	case errors.As(err, &f):
		told := *f
		told.why = c.struckError(f.why)
		return &told
	case errors.As(err, &e):
		return c.struckError(e)
	}
	return err
}

func (c *Client) struckError(e *Error) *Error {
	told := *e
	told.said = c.redact.Strike(e.said)
	return &told
}

func (c *Client) struckAll(errs []error) []error {
	for i, err := range errs {
		errs[i] = c.struck(err)
	}
	return errs
}

// Package credential recognises credentials that cannot work by the look of
// their text: what `echo` and text editors add to a token. It tells what is
// wrong and where, and never any part of the credential.
//
// Only certain faults are found. A text of several lines, such as a PEM key or
// JSON, may end in a line break, and a passphrase may be any text.
package credential

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Form is what a credential is made of.
type Form int

const (
	// Token is one word, sent as it stands: a token, a password of an API, an id.
	Token Form = iota
	// Base64 is one word whose decoder passes over line breaks, as those of TSIG
	// secrets and of ACME's external account binding do.
	Base64
)

// byteOrderMark begins files that Windows' editors write.
const byteOrderMark = "\ufeff"

// Fault says what makes a credential of this form unusable, as the end of a
// sentence that begins with where it was found: "ends in a line break". It is ""
// where nothing is wrong with it.
func Fault(value string, form Form) string {
	trimmed := strings.TrimSpace(value)
	switch {
	case value == "":
		return "is empty"
	case strings.ContainsRune(value, 0) || !utf8.ValidString(value):
		return "is not UTF-8 text"
	case strings.HasPrefix(value, byteOrderMark):
		return "begins with a byte order mark"
	case trimmed == "":
		return "holds blanks alone"
	case form == Base64:
		value = strings.NewReplacer("\n", "", "\r", "").Replace(value)
	case strings.ContainsAny(trimmed, "\r\n") || strings.HasPrefix(trimmed, "{") || strings.HasPrefix(trimmed, "-----BEGIN"):
		return "" // a document, which may end in a line break
	case strings.HasSuffix(value, "\n"), strings.HasSuffix(value, "\r"):
		return "ends in a line break"
	}
	first, _ := utf8.DecodeRuneInString(value)
	last, _ := utf8.DecodeLastRuneInString(value)
	switch {
	case unicode.IsSpace(last):
		return "ends in a blank"
	case unicode.IsSpace(first):
		return "begins with a blank"
	case strings.ContainsFunc(value, unicode.IsControl):
		return "has a control character in it"
	}
	return ""
}

// Check is Fault as an error that says what to do. where names the place: "the
// environment variable GIT_TOKEN".
func Check(where, value string, form Form) error {
	fault := Fault(value, form)
	if fault == "" {
		return nil
	}
	return errors.New(where + " " + fault + ": " + advice(fault))
}

func advice(fault string) string {
	switch fault {
	case "is empty", "holds blanks alone":
		return "put the credential there"
	case "ends in a line break":
		return `write it without one (printf %s "$TOKEN", or tr -d '\n')`
	default:
		return "write the credential alone, as UTF-8 text"
	}
}

// Passphrase is the error err of using a passphrase, with a hint where its end
// may be to blame. A passphrase may end in anything, so that it is never refused
// beforehand.
func Passphrase(where, value string, err error) error {
	if err == nil || value == "" || strings.TrimSpace(value) == value {
		return err
	}
	return fmt.Errorf("%w; %s %s, which may be a mistake", err, where, edge(value))
}

// edge says where the blanks of a text are.
func edge(value string) string {
	switch {
	case strings.HasSuffix(value, "\n"), strings.HasSuffix(value, "\r"):
		return "ends in a line break"
	case strings.TrimRightFunc(value, unicode.IsSpace) != value:
		return "ends in a blank"
	default:
		return "begins with a blank"
	}
}

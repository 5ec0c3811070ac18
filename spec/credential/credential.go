// Package credential recognizes credentials that cannot work, by their text: `echo` and
// text editors add characters to a token. It reports the fault and its place, and never
// any part of the credential.
//
// It reports only certain faults. A text of several lines, such as a PEM key or JSON, may
// end in a line break, and a passphrase may be any text.
package credential

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Form is the syntax of a credential.
type Form int

const (
	// Token is one word, sent unchanged: a token, an API password, an id.
	Token Form = iota
	// Base64 is one word whose decoder ignores line breaks, like the decoders of TSIG
	// secrets and of ACME's external account binding.
	Base64
)

// byteOrderMark is the first character of files from editors on Windows.
const byteOrderMark = "\ufeff"

// Fault describes the fault of a credential of this form, as the end of a sentence that
// begins with its place: "ends in a line break". It returns "" if there is none.
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

// Check returns Fault as an error with advice. where names the place: "the environment
// variable GIT_TOKEN".
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

// Passphrase extends err, the failure to use a passphrase, with a hint if the passphrase
// begins or ends with white space. A passphrase may contain white space, so it is never
// rejected beforehand.
func Passphrase(where, value string, err error) error {
	if err == nil || value == "" || strings.TrimSpace(value) == value {
		return err
	}
	return fmt.Errorf("%w; %s %s, which may be a mistake", err, where, edge(value))
}

// edge describes the white space at the beginning or end of a text.
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

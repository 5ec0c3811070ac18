package spec

import (
	"slices"
	"strings"
	"unicode"
)

// MaxReason is the longest reason that a person may give, in bytes.
const MaxReason = 1000

// BadReason reports whether s is no valid reason: longer than MaxReason, or with control
// characters such as a newline.
func BadReason(s string) bool {
	return len(s) > MaxReason || strings.ContainsFunc(s, unicode.IsControl)
}

// crlReasons are the codes of RFC 5280 section 5.3.1 that a subscriber may give, by the
// RFC's names.
var crlReasons = map[string]uint{
	"unspecified": 0, "keyCompromise": 1, "affiliationChanged": 3, "superseded": 4, "cessationOfOperation": 5,
}

// RevocationCode returns the CRLReason code of a revocation reason.
func RevocationCode(reason string) (code uint, ok bool) {
	code, ok = crlReasons[reason]
	return code, ok
}

var crlReasonNames = []string{"unspecified", "keyCompromise", "affiliationChanged", "superseded", "cessationOfOperation"}

// RevocationReasons returns the revocation reasons that a spec may give.
func RevocationReasons() []string { return slices.Clone(crlReasonNames) }

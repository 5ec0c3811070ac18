package spec

import (
	"slices"
	"strings"
	"unicode"
)

// MaxReason is how long the reason may be that a person gives for something, in bytes.
const MaxReason = 1000

// BadReason tells whether a text is no reason: not one line, or too long.
func BadReason(s string) bool {
	return len(s) > MaxReason || strings.ContainsFunc(s, unicode.IsControl)
}

// crlReasons are the codes of RFC 5280 section 5.3.1 that a subscriber may
// give, by its names for them.
var crlReasons = map[string]uint{
	"unspecified": 0, "keyCompromise": 1, "affiliationChanged": 3, "superseded": 4, "cessationOfOperation": 5,
}

// RevocationCode is the code of a reason for a revocation by its name.
func RevocationCode(reason string) (code uint, ok bool) {
	code, ok = crlReasons[reason]
	return code, ok
}

var crlReasonNames = []string{"unspecified", "keyCompromise", "affiliationChanged", "superseded", "cessationOfOperation"}

// RevocationReasons are the reasons for a revocation that a spec may give.
func RevocationReasons() []string { return slices.Clone(crlReasonNames) }

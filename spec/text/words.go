package text

import (
	"fmt"
	"strings"
)

// OneOf lists what is allowed: "a", "b" or "c", each in quotes.
func OneOf(allowed []string) string {
	quoted := make([]string, len(allowed))
	for i, s := range allowed {
		quoted[i] = fmt.Sprintf("%q", s)
	}
	if len(quoted) == 1 {
		return quoted[0]
	}
	return strings.Join(quoted[:len(quoted)-1], ", ") + " or " + quoted[len(quoted)-1]
}

// Article is a noun with its indefinite article: "an issuer", "a certificate".
func Article(noun string) string {
	if strings.ContainsAny(noun[:1], "aeiou") {
		return "an " + noun
	}
	return "a " + noun
}

// UpperFirst begins a sentence: its first letter becomes a capital one.
func UpperFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// mostShort is how much of a text Short leaves, in bytes.
const mostShort = 80

// Short cuts what somebody typed to the part of it that a message quotes.
func Short(s string) string {
	if len(s) > mostShort {
		return s[:mostShort] + "..."
	}
	return s
}

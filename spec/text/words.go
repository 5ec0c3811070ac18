package text

import (
	"fmt"
	"strings"
)

// OneOf lists the allowed values: "a", "b" or "c", each in quotes. allowed must not be
// empty.
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

// Article returns a noun with its indefinite article: "an issuer", "a certificate".
func Article(noun string) string {
	if strings.ContainsAny(noun[:1], "aeiou") {
		return "an " + noun
	}
	return "a " + noun
}

// UpperFirst capitalizes the first letter, for the beginning of a sentence.
func UpperFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// mostShort is the number of bytes that Short keeps.
const mostShort = 80

// Short cuts a text that a person typed to the part that a message quotes.
func Short(s string) string {
	if len(s) > mostShort {
		return strings.ToValidUTF8(s[:mostShort], "") + "..."
	}
	return s
}

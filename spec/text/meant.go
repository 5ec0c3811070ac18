package text

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/agext/levenshtein"
)

// maxTyped is the longest name that Nearest compares: the distance of two names costs the
// product of their lengths.
const maxTyped = 128

// Nearest returns the known name closest to a mistyped one; "" if none is close.
func Nearest(name string, known []string) string {
	if len(name) > maxTyped {
		return ""
	}
	best, distance := "", max(2, len(name)/3)+1
	for _, k := range known {
		if len(k) > maxTyped || abs(utf8.RuneCountInString(k)-utf8.RuneCountInString(name)) >= distance {
			continue // the distance is at least the difference in length
		}
		if n := levenshtein.Distance(name, k, nil); n < distance {
			best, distance = k, n
		}
	}
	return best
}

func abs(n int) int { return max(n, -n) }

// Meant returns a question that suggests the closest known name, or else one that begins
// with the typed name and a dot, like the certificates of a for_each. It begins with a
// space; "" if there is no suggestion.
func Meant(name string, known []string) string {
	near := Nearest(name, known)
	for _, k := range known {
		if near == "" && strings.HasPrefix(k, name+".") {
			near = k
		}
	}
	if near == "" {
		return ""
	}
	return fmt.Sprintf(" Did you mean %q?", near)
}

package text

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/agext/levenshtein"
)

// maxTyped is how long a name may be that is compared: the distance of two costs the
// product of their lengths.
const maxTyped = 128

// Nearest is the known name that differs least from a mistyped one; "" where none is
// near.
func Nearest(name string, known []string) string {
	if len(name) > maxTyped {
		return ""
	}
	best, distance := "", max(2, len(name)/3)+1
	for _, k := range known {
		if len(k) > maxTyped || abs(utf8.RuneCountInString(k)-utf8.RuneCountInString(name)) >= distance {
			continue // they differ by as many letters at least
		}
		if n := levenshtein.Distance(name, k, nil); n < distance {
			best, distance = k, n
		}
	}
	return best
}

func abs(n int) int { return max(n, -n) }

// Meant asks whether the nearest known name was meant, or else one that begins with the
// typed one and a dot, as the certificates of a for_each do. It begins with a blank; "":
// there is none.
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

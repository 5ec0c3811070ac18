package ledger

import (
	"regexp"
)

// changing matches the parts in which two messages about one problem differ: links (with
// the id of an order or request), words with a digit (ids, dates, times, ports), and the
// words of a date.
var changing = regexp.MustCompile(`https?://\S+|\S*[0-9]\S*|\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun|Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\b`)

// Steady returns a message without the parts that change at each try.
func Steady(message string) string { return changing.ReplaceAllString(message, "*") }

// SameMessage reports whether two messages are about the same problem, so that messages
// that differ only in a request id count once.
func SameMessage(a, b string) bool { return a == b || Steady(a) == Steady(b) }

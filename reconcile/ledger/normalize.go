package ledger

import (
	"regexp"
)

// changing is what differs between two tellings of one problem: links (an order
// or a request has an id there), words with a digit in them (ids, dates, times,
// ports), and the words of a date.
var changing = regexp.MustCompile(`https?://\S+|\S*[0-9]\S*|\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun|Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\b`)

// Steady is a message without what changes at each try.
func Steady(message string) string { return changing.ReplaceAllString(message, "*") }

// SameMessage tells whether two messages speak of the same problem, so that
// one which carries the id of each request is told as one.
func SameMessage(a, b string) bool { return a == b || Steady(a) == Steady(b) }

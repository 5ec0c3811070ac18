package ledger

import (
	"cmp"
	"strings"

	"certroll/spec/text"
)

// tersest is the least length of a clause that stands for a message.
const tersest = 12

// Cause is the end of a chain "doing: doing: words; advice": the upstream's own
// words, without the advice of certroll. It is what a line has room for.
func Cause(message string) string {
	s, _, _ := strings.Cut(text.Line(message), "; ")
	for i := len(s); ; {
		if i = strings.LastIndex(s[:i], ": "); i < 0 {
			return s
		}
		if len(s)-i-2 >= tersest {
			return s[i+2:]
		}
	}
}

// Cause is why the last attempt failed in a few words, with the DNS account or the
// class that it is of.
func (f *Failure) Cause() string {
	words := cmp.Or(Cause(f.Message), string(f.Class))
	switch {
	case f.DNSAccount != "" && strings.HasPrefix(string(f.Class), "dns_"):
		return string(AccountSubject(f.DNSAccount)) + ": " + words
	case f.Class != "":
		return string(f.Class) + ": " + words
	}
	return words
}

// WithoutMessage is a sentence without the message that it ends in. A place that
// shows the message does not show it again.
func WithoutMessage(sentence, message string) string {
	if s, found := strings.CutSuffix(sentence, ": "+text.FirstLine(message)); found && message != "" {
		return s
	}
	return sentence
}

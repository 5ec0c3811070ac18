package ledger

import (
	"cmp"
	"strings"

	"certroll/spec/text"
)

// tersest is the shortest clause that Cause accepts as a message.
const tersest = 12

// Cause returns the last clause of an error such as "doing: doing: words; advice": the
// upstream's message, without certroll's advice. It fits on one line.
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

// Cause returns the reason of the last failure in a few words, with the DNS account or the
// class.
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

// WithoutMessage removes the message from the end of a sentence, for output that shows the
// message separately.
func WithoutMessage(sentence, message string) string {
	if s, found := strings.CutSuffix(sentence, ": "+text.FirstLine(message)); found && message != "" {
		return s
	}
	return sentence
}

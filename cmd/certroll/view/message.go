package view

import (
	"regexp"
	"strings"

	"certroll/spec/text"
)

// several matches the beginning of a message that joins the failures of several names, or
// of several DNS accounts for one name, with " | ".
var several = regexp.MustCompile(`(?:\b[0-9]+ names failed|\bthrough one of [0-9]+ DNS accounts): `)

// message wraps the message of a failure for a person. If it joins several failures, each
// has its own line, and the advice that they share comes once, at the end.
func message(said string, width int) string {
	said = text.Lines(said)
	at := several.FindStringIndex(said)
	if at == nil || !strings.Contains(said[at[1]:], " | ") {
		return wrap(said, width)
	}
	parts := strings.Split(said[at[1]:], " | ")
	more := ""
	if last := parts[len(parts)-1]; strings.HasPrefix(last, "and ") {
		parts, more = parts[:len(parts)-1], last
	}
	advice := sharedAdvice(parts)
	lines := []string{wrap(strings.TrimSpace(said[:at[1]]), width)}
	for _, part := range parts {
		lines = append(lines, listed(strings.TrimSuffix(part, advice), width))
	}
	if more != "" {
		lines = append(lines, listed(more, width))
	}
	if advice != "" {
		lines = append(lines, wrap("for each: "+strings.TrimPrefix(advice, "; "), width))
	}
	return strings.Join(lines, "\n")
}

// listed wraps one failure of a list.
func listed(part string, width int) string {
	return "- " + strings.TrimPrefix(indent(wrap(part, width-2), "  "), "  ")
}

// sharedAdvice returns the advice at the end of all parts, with the "; " before it; "" if
// they differ or have none. See problem.Error for the form.
func sharedAdvice(parts []string) string {
	shared := parts[0]
	for _, part := range parts[1:] {
		for !strings.HasSuffix(part, shared) {
			shared = shared[1:]
		}
	}
	if len(parts) < 2 {
		return ""
	}
	if i := strings.Index(shared, "; "); i >= 0 {
		return shared[i:]
	}
	return ""
}

package view

import (
	"fmt"
	"strings"

	"certroll/spec/text"
)

func sprint(format string, args ...any) string { return fmt.Sprintf(format, args...) }

func shortSerial(s string) string {
	if len(s) > 16 {
		return s[:16] + "..."
	}
	return s
}

// shortRevision returns the beginning of a commit's hash, with a "-dirty" suffix if
// present.
func shortRevision(s string) string {
	hash, dirty, found := strings.Cut(s, "-")
	if s == "" {
		return "a plain directory"
	}
	hash = hash[:min(12, len(hash))]
	if found {
		return hash + "-" + dirty
	}
	return hash
}

// textWidth is the width of sentences; it fits a terminal of a hundred columns.
const textWidth = 96

// hang wraps a text, and indents the later lines to the first one's column.
func hang(s string, column int) string {
	by := strings.Repeat(" ", column)
	return strings.TrimPrefix(indent(wrap(text.Line(s), textWidth+2-column), by), by)
}

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

// shortRevision is the beginning of a commit's hash, with "-dirty" where it is.
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

// textWidth is where sentences are broken, so that they are read in a terminal
// of a hundred columns.
const textWidth = 96

// hang is a text on as many lines as it takes, the later ones indented to where
// the first one begins.
func hang(s string, column int) string {
	by := strings.Repeat(" ", column)
	return strings.TrimPrefix(indent(wrap(text.Line(s), textWidth+2-column), by), by)
}

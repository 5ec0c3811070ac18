package acme

import (
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestLongAnswersAreCut(t *testing.T) {
	text := explain(t.Context(), "asking", errors.New(strings.Repeat("é", 2000)), answer{status: 201}, time.Now()).Error()
	if len(text) > 2200 || !utf8.ValidString(text) || !strings.Contains(text, "é…") {
		t.Errorf("got %d bytes that end %q", len(text), text[len(text)-80:])
	}
}

package fault

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// TestLines: the remote's text becomes one line without terminal control characters.
func TestLines(t *testing.T) {
	said := "\x1b[31mremote\x1b[0m: no\r\n\n 10%\r 50%\rdone\n\x07bell\u009b\n" + strings.Repeat("x", 1000)
	got := strings.Join(Lines(said), "|")
	want := "[31mremote [0m: no|done|bell|" + strings.Repeat("x", maxSaidLine) + "..."
	if got != want {
		t.Errorf("got %q", got)
	}
	if n := len(Lines(strings.Repeat("line\n", 1000))); n != maxSaidLines {
		t.Errorf("%d lines are kept", n)
	}
}

func TestErrorMatches(t *testing.T) {
	var err error = &Error{Kind: Stopped, Doing: "fetching", Err: context.Canceled}
	if !errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		t.Error("the cause does not match")
	}
	if r := err.(*Error).Reason(); r != "stopped" {
		t.Errorf("Reason is %q", r)
	}
}

package gitsynctest

import (
	"strings"
	"testing"

	"certroll/gitsync/fault"
)

// Must fails the test at once if err is not nil.
func Must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Failure asserts that err has the kind and that its text is one line that contains the words.
func Failure(t testing.TB, err error, kind fault.Kind, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; want %q", kind)
	}
	if !fault.Is(err, kind) {
		t.Fatalf("got %v\nwant kind %q", err, kind)
	}
	if c, ok := err.(interface{ Class() string }); !ok || c.Class() != "git" { // callers look at the outermost error only
		t.Errorf("the error %T has no Class() git", err)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("the error lacks %q:\n%v", w, err)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("the error has several lines:\n%v", err)
	}
}

package main

import (
	"os"
	"strings"
	"testing"
)

// TestReport: a line for each package, a failure's words, and what was left out,
// from events as go test -json writes them.
func TestReport(t *testing.T) {
	in, err := os.Open("testdata/events.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	want, err := os.ReadFile("testdata/report.txt")
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	r := newReport(&out)
	if err := r.read(in); err != nil {
		t.Fatal(err)
	}
	r.end()
	if out.String() != string(want) {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

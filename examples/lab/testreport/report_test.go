package main

import (
	"os"
	"strings"
	"testing"
)

// TestReport: from the events of go test -json, the report has a line for each package,
// the output of a failure, and the skipped tests.
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

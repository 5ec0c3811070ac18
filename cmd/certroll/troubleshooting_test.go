package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// symptom matches the first cell of a row that quotes what an operator sees.
var symptom = regexp.MustCompile("(?m)^\\| (?:class |reason )?`([^`]+)`")

// TestTroubleshootingQuotes: operators search for the text on their screen, so each quote on the page is verbatim in
// the program.
func TestTroubleshootingQuotes(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	source := programText(t)
	quotes := symptom.FindAllStringSubmatch(string(page), -1)
	if len(quotes) < 40 {
		t.Fatalf("the page quotes %d messages; its tables are not as expected", len(quotes))
	}
	for _, q := range quotes {
		if !strings.Contains(source, q[1]) {
			t.Errorf("docs/troubleshooting.md quotes %q, which certroll does not print", q[1])
		}
	}
}

// programText returns the source of the program without its tests.
func programText(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, dir := range []string{".", "../../reconcile", "../../gitsync", "../../vault", "../../spec"} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			b.Write(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

// Package metricstest reads docs/metrics.md for the tests that compare it with the metrics and the alerts. Only tests
// import it.
package metricstest

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Documented returns the rows of the tables in docs/metrics.md whose first cell matches, split into cells. root is the
// module's directory.
func Documented(t *testing.T, root, first string) [][]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs/metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	var rows [][]string
	for _, line := range regexp.MustCompile("(?m)^\\| `"+first+"`.*$").FindAllString(string(text), -1) {
		rows = append(rows, strings.Split(strings.Trim(line, "| "), " | "))
	}
	if len(rows) == 0 {
		t.Fatalf("docs/metrics.md has no row that begins with %s", first)
	}
	return rows
}

var code = regexp.MustCompile("`([^`]+)`")

// Codes returns the code spans in a cell, sorted.
func Codes(cell string) []string {
	words := []string{}
	for _, m := range code.FindAllStringSubmatch(cell, -1) {
		words = append(words, m[1])
	}
	slices.Sort(words)
	return words
}

package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const threatModel = "../../docs/threat-model.md"

var (
	testName    = regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9_]+)`")
	testDeclare = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Za-z0-9_]+)\(`)
)

// TestThreatModelNamesItsTests: each row of the threat model names its tests, and all of them exist.
func TestThreatModelNamesItsTests(t *testing.T) {
	declared := declaredTests(t)
	rows := tableRows(t, threatModel, "test")
	if len(rows) < 30 {
		t.Fatalf("the tables have no more than %d rows", len(rows))
	}
	for _, row := range rows {
		names := testName.FindAllStringSubmatch(row[len(row)-1], -1)
		if len(names) == 0 {
			t.Errorf("no test stands in the row %q", row[:2])
		}
		for _, name := range names {
			if !declared[name[1]] {
				t.Errorf("%s stands in the row %q, and no test has that name", name[1], row[:2])
			}
		}
	}
}

// TestPromisesAreProven: each promise in README is, word for word, a row of the threat model.
func TestPromisesAreProven(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(readme), "\n## What you can rely on\n")
	text, _, _ = strings.Cut(text, "\n## ")
	var promises []string
	for _, m := range regexp.MustCompile(`(?m)^- (?:\*\*(.+?)\.\*\*)?`).FindAllStringSubmatch(text, -1) {
		promises = append(promises, m[1])
	}
	var proven []string
	for _, row := range tableRows(t, threatModel, "test") {
		if len(row) == 3 {
			proven = append(proven, row[0])
		}
	}
	if len(promises) == 0 || !slices.Equal(promises, proven) {
		t.Errorf("README promises\n%s\nand the threat model proves\n%s", strings.Join(promises, "\n"), strings.Join(proven, "\n"))
	}
}

// tableRows returns the rows of a page's tables whose last column has the given header.
func tableRows(t *testing.T, page, last string) [][]string {
	t.Helper()
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var rows [][]string
	inside := false
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") {
			inside = false
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		switch {
		case cells[len(cells)-1] == last:
			inside = true
		case inside && !strings.HasPrefix(line, "|--"):
			rows = append(rows, cells)
		}
	}
	return rows
}

func declaredTests(t *testing.T) map[string]bool {
	t.Helper()
	declared := map[string]bool{}
	err := fs.WalkDir(os.DirFS("../.."), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := os.ReadFile(filepath.Join("../..", path))
		for _, m := range testDeclare.FindAllStringSubmatch(string(b), -1) {
			declared[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return declared
}

// TestUnitKeepsMemoryOffDisks: under systemd, the keys in certroll's memory reach neither a core dump nor swap.
func TestUnitKeepsMemoryOffDisks(t *testing.T) {
	unit, err := os.ReadFile("../../examples/install/certroll.service")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"LimitCORE=0", "MemorySwapMax=0"} {
		if !slices.Contains(strings.Split(string(unit), "\n"), line) {
			t.Errorf("the unit lacks %s", line)
		}
	}
}

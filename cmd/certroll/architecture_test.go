package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	namedFile = regexp.MustCompile("`([\\w./-]+\\.go)`")
	namedTest = regexp.MustCompile("`((?:Test|Fuzz)\\w+)`")
)

// TestArchitectureNames: the files and tests named in docs/architecture.md exist.
func TestArchitectureNames(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	files, tests := goFiles(t)
	found := namedFile.FindAllStringSubmatch(string(page), -1)
	if len(found) < 40 {
		t.Fatalf("the page names %d files; its tables are not as expected", len(found))
	}
	for _, m := range found {
		if !strings.Contains(files, "/"+m[1]+"\n") {
			t.Errorf("docs/architecture.md names the file %s, which does not exist", m[1])
		}
	}
	for _, m := range namedTest.FindAllStringSubmatch(string(page), -1) {
		if !strings.Contains(tests, "func "+m[1]+"(") {
			t.Errorf("docs/architecture.md names the test %s, which does not exist", m[1])
		}
	}
}

// goFiles returns the paths of all Go files, one per line, and the text of all tests.
func goFiles(t *testing.T) (paths, tests string) {
	t.Helper()
	var names, text strings.Builder
	for _, dir := range []string{"cmd", "reconcile", "gitsync", "vault", "spec", "examples"} {
		err := filepath.WalkDir(filepath.Join("../..", dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
				return err
			}
			names.WriteString(filepath.ToSlash(path) + "\n")
			if !strings.HasSuffix(path, "_test.go") {
				return nil
			}
			b, err := os.ReadFile(path)
			text.Write(b)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return names.String(), text.String()
}

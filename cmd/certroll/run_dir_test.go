package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPullOfADirectory takes up each edit once, and writes nothing where there
// is none: its own writing would be taken for the next edit.
func TestPullOfADirectory(t *testing.T) {
	dir := t.TempDir()
	d := idleDaemon(t, dir)
	pull := func(locals string) (kept os.FileInfo) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "a.hcl"), []byte(locals), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := d.pull(t.Context()); err != nil {
			t.Fatal(err)
		}
		kept, err := os.Stat(d.goodFile())
		if err != nil {
			t.Fatal(err)
		}
		return kept
	}
	first := pull("locals { a = 1 }\n")
	if again := pull("locals { a = 1 }\n"); !os.SameFile(first, again) {
		t.Error("nothing changed, and the last good revision was written again")
	}
	pull("locals { a = 2 }\n")
	if got := string(d.good.Files[0].Bytes); !strings.Contains(got, "2") {
		t.Errorf("in force is %q", got)
	}
	if err := os.Remove(filepath.Join(dir, "a.hcl")); err != nil {
		t.Fatal(err)
	}
	if err := d.pull(t.Context()); err == nil || len(d.good.Files) != 1 {
		t.Errorf("an empty directory: error %v, %d files in force", err, len(d.good.Files))
	}
}

package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

// TestWriteReplacesWhole: the file has the new content and mode, and the directory contains no other file.
func TestWriteReplacesWhole(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state.json")
	must(t, os.WriteFile(path, []byte("old and longer"), 0o644))
	must(t, Write(path, []byte("new"), 0o600))
	b, err := os.ReadFile(path)
	must(t, err)
	info, err := os.Stat(path)
	must(t, err)
	if string(b) != "new" || info.Mode().Perm() != 0o600 {
		t.Errorf("%q with mode %v", b, info.Mode())
	}
	if got := names(t, dir); len(got) != 1 {
		t.Errorf("the directory has %v", got)
	}
}

// TestWriteFailsWhole: a write that cannot replace the old file returns an error and leaves nothing behind.
func TestWriteFailsWhole(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state.json")
	must(t, os.MkdirAll(filepath.Join(path, "in the way"), 0o700))
	if err := Write(path, []byte("new"), 0o600); err == nil {
		t.Error("a file took a directory's place")
	}
	if got := names(t, dir); len(got) != 1 {
		t.Errorf("the directory has %v", got)
	}
}

// TestSweep removes the temporary files that crashes of this and earlier versions left, and no other file.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.json", ".a.json-123", "a.json.tmp", ".ab.json-1", "b.json"} {
		must(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
	}
	Sweep(filepath.Join(dir, "a.json"))
	if got := names(t, dir); len(got) != 3 || got[0] != ".ab.json-1" || got[1] != "a.json" || got[2] != "b.json" {
		t.Errorf("left are %v", got)
	}
}

// TestSweepOfOneDirectory: a directory whose name looks like a pattern matches no other directory.
func TestSweepOfOneDirectory(t *testing.T) {
	root := t.TempDir()
	for _, file := range []string{"st*/.journal-1", "state/.journal-2"} {
		if err := os.MkdirAll(filepath.Join(root, filepath.Dir(file)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, file), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	Sweep(filepath.Join(root, "st*", "journal"))
	if _, err := os.Stat(filepath.Join(root, "st*/.journal-1")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its own temporary file is still there: %v", err)
	}
	if _, err := os.Stat(filepath.Join(root, "state/.journal-2")); err != nil {
		t.Errorf("that of another directory is gone: %v", err)
	}
}

// TestSetAside: the newest unreadable file replaces the one set aside before, whether either is a file or a directory.
func TestSetAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.json")
	must(t, os.WriteFile(path, []byte("one"), 0o000))
	_, err := SetAside(path)
	must(t, err)
	must(t, os.MkdirAll(filepath.Join(path, "below"), 0o700))
	bad, err := SetAside(path)
	must(t, err)
	if got := names(t, filepath.Dir(path)); len(got) != 1 || bad != path+".bad" {
		t.Errorf("%s; the directory has %v", bad, got)
	}
	if _, err := SetAside(path); err == nil {
		t.Error("a file that is not there was set aside")
	}
}

// TestWriteThroughLinks: a write follows any number of symbolic links and keeps them, even if the target does not
// exist. A loop of links gives an error with the path.
func TestWriteThroughLinks(t *testing.T) {
	root := t.TempDir()
	in := func(name string) string { return filepath.Join(root, name) }
	for _, dir := range []string{"state", "disk/deep"} {
		must(t, os.MkdirAll(in(dir), 0o700))
	}
	must(t, os.Symlink(in("disk/deep"), in("away"))) // the kernel resolves "away/.." to disk, whatever the text suggests
	must(t, os.WriteFile(in("disk/a.json"), []byte("old"), 0o600))
	must(t, os.Symlink("../disk/a.json", in("state/a.json")))
	must(t, os.Symlink("a.json", in("state/twice.json")))
	must(t, os.Symlink(in("disk/new.json"), in("state/dangling.json")))
	must(t, os.Symlink(in("away")+"/../up.json", in("state/up.json")))
	for link, target := range map[string]string{"a.json": "disk/a.json", "twice.json": "disk/a.json", "dangling.json": "disk/new.json", "up.json": "disk/up.json"} {
		path := in("state/" + link)
		to, err := os.Readlink(path)
		must(t, err)
		must(t, Write(path, []byte(link), 0o600))
		if now, err := os.Readlink(path); err != nil || now != to {
			t.Errorf("%s is a link to %q, %v", link, now, err)
		}
		if b, err := os.ReadFile(in(target)); err != nil || string(b) != link {
			t.Errorf("%s: %s has %q, %v", link, target, b, err)
		}
	}
	if got := names(t, in("disk")); len(got) != 4 {
		t.Errorf("left are %v", got)
	}
	for link, target := range map[string]string{"up.json": "disk/up.json", "twice.json": "disk/a.json", "dangling.json": "disk/new.json"} {
		if got, err := Target(in("state/" + link)); err != nil || got != in(target) {
			t.Errorf("%s leads to %s, %v", link, got, err)
		}
	}
	t.Chdir(in("state"))
	if got, err := Target("a.json"); err != nil || got != "../disk/a.json" {
		t.Errorf("a.json here leads to %s, %v", got, err)
	}
	must(t, os.Symlink("loop.json", in("state/loop.json")))
	if err := Write(in("state/loop.json"), nil, 0o600); err == nil || !strings.Contains(err.Error(), in("state/loop.json")) {
		t.Errorf("a loop: %v", err)
	}
}

// TestWriteOverALostLink: the file replaces a link whose target has no directory any more, and its links from elsewhere
// stay. The next write goes to the file.
func TestWriteOverALostLink(t *testing.T) {
	root := t.TempDir()
	in := func(name string) string { return filepath.Join(root, name) }
	must(t, os.Mkdir(in("state"), 0o700))
	must(t, os.Symlink(in("nowhere/below/a.json"), in("state/lost.json")))
	must(t, os.Symlink("lost.json", in("state/twice.json")))
	Sweep(in("state/lost.json"))
	for _, name := range []string{"twice.json", "lost.json"} {
		must(t, Write(in("state/"+name), []byte(name), 0o600))
		if b, err := os.ReadFile(in("state/" + name)); err != nil || string(b) != name {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	if info, err := os.Lstat(in("state/lost.json")); err != nil || !info.Mode().IsRegular() {
		t.Errorf("lost.json is %v, %v", info, err)
	}
	if to, err := os.Readlink(in("state/twice.json")); err != nil || to != "lost.json" {
		t.Errorf("twice.json leads to %q, %v", to, err)
	}
	if got := names(t, root); len(got) != 1 {
		t.Errorf("made are %v", got)
	}
}

// TestLinksAreSweptAndSetAside: Sweep and SetAside act in the directory of the link's target and keep the link.
func TestLinksAreSweptAndSetAside(t *testing.T) {
	root := t.TempDir()
	link, target := filepath.Join(root, "a.json"), filepath.Join(root, "disk", "b.json")
	must(t, os.Mkdir(filepath.Dir(target), 0o700))
	must(t, os.Symlink(target, link))
	for _, file := range []string{target, filepath.Join(root, "disk", ".b.json-123")} {
		must(t, os.WriteFile(file, []byte("x"), 0o600))
	}
	Sweep(link)
	bad, err := SetAside(link)
	must(t, err)
	if got := names(t, filepath.Dir(target)); len(got) != 1 || bad != target+".bad" {
		t.Errorf("%s; the directory has %v", bad, got)
	}
	must(t, Write(link, []byte("new"), 0o600))
	if b, err := os.ReadFile(target); err != nil || string(b) != "new" {
		t.Errorf("%q, %v", b, err)
	}
}

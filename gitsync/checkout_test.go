package gitsync

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"certroll/examples/lab"
	"certroll/gitsync/fault"
)

// cloned returns a work tree like the one that CI makes.
func cloned(t *testing.T, p place, args ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "work")
	_, err := lab.Git(t.Context(), "", append(append([]string{"clone", "--quiet"}, args...), p.path, dir)...)
	must(t, err)
	return dir
}

// commitIn commits files in a work tree.
func commitIn(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		at := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(at), 0o755))
		must(t, os.WriteFile(at, []byte(text), 0o600))
	}
	for _, args := range [][]string{{"add", "--all"}, {"commit", "--quiet", "--message", "Change"}} {
		_, err := lab.Git(t.Context(), dir, args...)
		must(t, err)
	}
}

// TestCheckoutBase: the base is the commit where HEAD branched off the ref, even if the ref has newer commits. The
// checkout reads it under the rules of a Source.
func TestCheckoutBase(t *testing.T) {
	p := local(t)
	first := p.push(t, "main", map[string]string{"certs/a.hcl": "one", "certs/note.txt": "no", "other/b.hcl": "no"})
	dir := cloned(t, p)
	commitIn(t, dir, map[string]string{"certs/a.hcl": "two", "fresh/c.hcl": "new"})
	p.push(t, "main", map[string]string{"certs/later.hcl": "later"})
	_, err := lab.Git(t.Context(), dir, "fetch", "--quiet")
	must(t, err)

	c, err := OpenCheckout(filepath.Join(dir, "certs"))
	must(t, err)
	for _, ref := range []string{"origin/main", "refs/remotes/origin/main", first, "HEAD~1", "main~1"} {
		rev, whole, err := c.Base(ref)
		must(t, err)
		if rev.Commit != first || !whole || contents(rev) != "a.hcl=one" || rev.Directory != "certs" {
			t.Errorf("%s: %s %v %q in %q", ref, rev.Commit, whole, contents(rev), rev.Directory)
		}
	}
	head, err := ReadDir(filepath.Join(dir, "certs"))
	must(t, err)
	if head.Directory != "certs" || contents(head) != "a.hcl=two" {
		t.Errorf("head: %q in %q", contents(head), head.Directory)
	}
	_, _, err = c.Base("origin/nowhere")
	failure(t, err, fault.RefNotFound, "origin/nowhere", "fetch it")

	// The base has no files in a directory that the change adds.
	c, err = OpenCheckout(filepath.Join(dir, "fresh"))
	must(t, err)
	if rev, _, err := c.Base("origin/main"); err != nil || len(rev.Files) != 0 || rev.Commit != first {
		t.Errorf("%+v %v", rev, err)
	}
	_, err = OpenCheckout(t.TempDir())
	failure(t, err, fault.Invalid, "no Git work tree")
	must(t, os.Symlink(t.TempDir(), filepath.Join(dir, "out")))
	_, err = OpenCheckout(filepath.Join(dir, "out"))
	failure(t, err, fault.Invalid, "leads out of the work tree")
}

// TestCheckoutShallow: where the history is too short, the ref itself is the base, and the checkout reports that.
func TestCheckoutShallow(t *testing.T) {
	p := local(t)
	p.push(t, "main", map[string]string{"a.hcl": "one"})
	p.git(t, "branch", "topic", "main")
	p.push(t, "topic", map[string]string{"a.hcl": "two"})
	tip := p.push(t, "main", map[string]string{"b.hcl": "later"})
	p.path = "file://" + p.path // git ignores --depth for a plain path
	dir := cloned(t, p, "--depth=1", "--no-single-branch", "--branch=topic")
	c, err := OpenCheckout(dir)
	must(t, err)
	rev, whole, err := c.Base("origin/main")
	must(t, err)
	if whole || rev.Commit != tip {
		t.Errorf("base %s, whole %v, want %s itself", rev.Commit, whole, tip)
	}
}

// TestCheckoutLedger reads the branch as the checkout fetched it last.
func TestCheckoutLedger(t *testing.T) {
	p := local(t)
	p.push(t, "main", map[string]string{"a.hcl": "one"})
	dir := cloned(t, p)
	c, err := OpenCheckout(dir)
	must(t, err)
	if _, _, _, err := c.Ledger("", ""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no branch yet: %v", err)
	}
	want := p.push(t, "certroll/status", map[string]string{"prod/certificates/a.json": "{}"})
	_, err = lab.Git(t.Context(), dir, "fetch", "--quiet")
	must(t, err)
	tree, head, at, err := c.Ledger("", "prod")
	must(t, err)
	if b, err := fs.ReadFile(tree, "certificates/a.json"); err != nil || string(b) != "{}" || head != want || at.IsZero() {
		t.Errorf("%q %v at %s of %s", b, err, head, at)
	}
}

// TestCheckoutRepacked: git can repack a checkout after it was opened. Reads find the objects in the new pack.
func TestCheckoutRepacked(t *testing.T) {
	p := local(t)
	p.push(t, "main", map[string]string{"a.hcl": "one"})
	p.push(t, "certroll/status", map[string]string{"certificates/a.json": "{}", "audit/2026/11.jsonl": "{}\n"})
	dir := cloned(t, p)
	repack := func(args ...string) {
		t.Helper()
		_, err := lab.Git(t.Context(), dir, append([]string{"repack", "-a", "-d", "-f", "--quiet"}, args...)...)
		must(t, err)
		_, err = lab.Git(t.Context(), dir, "pack-refs", "--all")
		must(t, err)
	}
	commitIn(t, dir, map[string]string{"b.hcl": "loose"})
	c, err := OpenCheckout(dir)
	must(t, err)
	repack()
	tree, _, _, err := c.Ledger("", "")
	must(t, err)
	commitIn(t, dir, map[string]string{"c.hcl": "another pack"})
	repack()
	if b, err := fs.ReadFile(tree, "certificates/a.json"); err != nil || string(b) != "{}" {
		t.Errorf("%q %v", b, err)
	}
	commitIn(t, dir, map[string]string{"d.hcl": "yet another"})
	repack("--depth=0")
	if rev, whole, err := c.Base("HEAD"); err != nil || !whole || contents(rev) != "a.hcl=one b.hcl=loose" {
		t.Errorf("%+v %v %v", rev, whole, err)
	}
}

// TestCheckoutUnreadable: a missing object is an error, never an absent file or an empty directory.
func TestCheckoutUnreadable(t *testing.T) {
	p := local(t)
	p.push(t, "main", map[string]string{"a.hcl": "one"})
	p.push(t, "certroll/status", map[string]string{"certificates/a.json": "{}", "audit/2026/11.jsonl": "{}\n"})
	dir := cloned(t, p)
	_, err := lab.Git(t.Context(), dir, "repack", "-a", "-d", "--quiet")
	must(t, err)
	c, err := OpenCheckout(dir)
	must(t, err)
	tree, _, _, err := c.Ledger("", "")
	must(t, err)
	packs, err := filepath.Glob(filepath.Join(dir, ".git", "objects", "pack", "*.pack"))
	must(t, err)
	for _, name := range packs {
		must(t, os.Remove(name))
	}
	for what, err := range map[string]error{
		"a file":      func() error { _, err := fs.ReadFile(tree, "certificates/a.json"); return err }(),
		"a directory": func() error { _, err := fs.ReadDir(tree, "certificates"); return err }(),
		"a size":      func() error { _, err := fs.Stat(tree, "certificates/a.json"); return err }(),
		"the ledger":  func() error { _, _, _, err := c.Ledger("", ""); return err }(),
	} {
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s that cannot be read: %v", what, err)
		}
	}
}

package gitsync

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"certroll/gitsync/fault"
)

// gitIn runs git in a directory without system or user configuration.
func gitIn(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", append([]string{"-c", "protocol.file.allow=always", "-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main"}, args...)...)
	cmd.Dir = dir
	own := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "GIT_") })
	cmd.Env = append(own, "LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

func put(t *testing.T, dir, name, text string) {
	t.Helper()
	file := filepath.Join(dir, name)
	must(t, os.MkdirAll(filepath.Dir(file), 0o755))
	must(t, os.WriteFile(file, []byte(text), 0o644))
}

// TestUnread: both readers see the same files and report the same skipped ones: links, submodules, and names with
// another extension.
func TestUnread(t *testing.T) {
	other := t.TempDir()
	gitIn(t, other, "init", "-q")
	put(t, other, "shop.hcl", "# of the submodule")
	gitIn(t, other, "add", ".")
	gitIn(t, other, "commit", "-qm", "one")

	dir := t.TempDir()
	gitIn(t, dir, "init", "-q")
	for _, name := range []string{"a.hcl", "certs/b.hcl", "shared/c.hcl", "d.hcl.json", "e.tf", "F.HCL", "README.md"} {
		put(t, dir, name, "# "+name)
	}
	must(t, os.Symlink("shared/c.hcl", filepath.Join(dir, "c.hcl")))
	must(t, os.Symlink("../shared", filepath.Join(dir, "certs/more")))
	must(t, os.Symlink("README.md", filepath.Join(dir, "link.md")))
	gitIn(t, dir, "submodule", "--quiet", "add", other, "team")
	gitIn(t, dir, "add", ".")
	gitIn(t, dir, "commit", "-qm", "one")

	onDisk, err := ReadDir(dir)
	must(t, err)
	s, err := OpenSource(SourceOptions{URL: dir, Ref: "main"})
	must(t, err)
	defer func() { _ = s.Close() }()
	inGit, err := s.Fetch(t.Context())
	must(t, err)
	if contents(onDisk) != contents(inGit) || len(inGit.Files) != 3 {
		t.Errorf("on the disk %s\nin Git %s", contents(onDisk), contents(inGit))
	}
	if onDisk.Commit != inGit.Commit {
		t.Errorf("commit %s on the disk, %s in Git", onDisk.Commit, inGit.Commit)
	}
	want := []string{"F.HCL", "c.hcl", "certs/more", "d.hcl.json", "e.tf", "team"}
	for what, rev := range map[string]*Revision{"on the disk": onDisk, "in Git": inGit} {
		var got []string
		for _, u := range rev.Unread {
			got = append(got, u.Path)
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	for name, why := range map[string]string{"c.hcl": "symbolic link", "team": "submodule", "F.HCL": "upper and lower case", "e.tf": "Terraform"} {
		i := slices.IndexFunc(inGit.Unread, func(u Unread) bool { return u.Path == name })
		if i < 0 || !strings.Contains(inGit.Unread[i].Why, why) {
			t.Errorf("%s: %+v", name, inGit.Unread)
		}
	}

	put(t, dir, "lfs.hcl", "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")
	_, err = ReadDir(dir)
	failure(t, err, fault.Invalid, "lfs.hcl is a Git LFS pointer", "lfs untrack")
	gitIn(t, dir, "add", ".")
	gitIn(t, dir, "commit", "-qm", "two")
	_, err = s.Fetch(t.Context())
	failure(t, err, fault.Invalid, "lfs.hcl is a Git LFS pointer")
}

// TestOddNames: both readers treat names that are not UTF-8 or contain a backslash in the same way.
func TestOddNames(t *testing.T) {
	for name, c := range map[string]struct{ file, unread, refused string }{
		"a directory without *.hcl":   {file: "d\xffr/notes.txt"},
		"one with a file far below":   {file: "d\xffr/x/y/b.hcl", refused: "d\\xffr/x/y/b.hcl"},
		"hidden files in it":          {file: "d\xffr/.x/b.hcl"},
		"a file":                      {file: "b\xff.hcl", refused: "b\\xff.hcl"},
		"a file without meaning":      {file: "b\xff.txt"},
		"a file with a backslash":     {file: `b\c.hcl`, unread: `b\c.hcl`},
		"a directory with a backlash": {file: `d\e/c.hcl`, unread: `d\e`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			gitIn(t, dir, "init", "-q")
			put(t, dir, "a.hcl", "# a")
			put(t, dir, c.file, "# odd")
			gitIn(t, dir, "add", ".")
			gitIn(t, dir, "commit", "-qm", "one")
			s, err := OpenSource(SourceOptions{URL: dir, Ref: "main"})
			must(t, err)
			defer func() { _ = s.Close() }()
			inGit, errInGit := s.Fetch(t.Context())
			onDisk, errOnDisk := ReadDir(dir)
			if c.refused != "" {
				failure(t, errInGit, fault.Invalid, c.refused, "rename it")
				failure(t, errOnDisk, fault.Invalid, c.refused, "rename it")
				return
			}
			for what, rev := range map[string]*Revision{"in Git": inGit, "on the disk": onDisk} {
				must(t, errInGit)
				must(t, errOnDisk)
				var unread string
				for _, u := range rev.Unread {
					unread += u.Path
				}
				if contents(rev) != "a.hcl=# a" || unread != c.unread {
					t.Errorf("%s: %s, not read are %+v", what, contents(rev), rev.Unread)
				}
			}
			if onDisk.Commit != inGit.Commit {
				t.Errorf("commit %s on the disk, %s in Git", onDisk.Commit, inGit.Commit)
			}
			gitIn(t, dir, "checkout", "-q", "--detach") // so that a push to the branch is possible
			o := place{url: dir, path: dir}.options()
			o.Ref = "main"
			if _, err := Revise(t.Context(), o, "Rotate", adding("1", nil)); err != nil {
				t.Errorf("an edit: %v", err)
			}
		})
	}
}

// TestCheckoutsThatGitTakes: certroll opens every checkout that git accepts, whatever its configuration.
func TestCheckoutsThatGitTakes(t *testing.T) {
	origin := t.TempDir()
	gitIn(t, origin, "init", "-q")
	put(t, origin, "a.hcl", "# a")
	gitIn(t, origin, "add", ".")
	gitIn(t, origin, "commit", "-qm", "one")
	put(t, origin, "b.hcl", "# b")
	gitIn(t, origin, "add", ".")
	gitIn(t, origin, "commit", "-qm", "two")
	clone := func(t *testing.T, args ...string) string {
		dir := filepath.Join(t.TempDir(), "clone")
		gitIn(t, origin, append(append([]string{"clone", "-q"}, args...), "file://"+origin, dir)...)
		return dir
	}
	configured := func(settings ...string) func(t *testing.T) string {
		return func(t *testing.T) string {
			dir := clone(t)
			for i := 0; i < len(settings); i += 2 {
				gitIn(t, dir, "config", "--add", settings[i], settings[i+1])
			}
			return dir
		}
	}
	cases := map[string]func(t *testing.T) string{
		"plain": func(t *testing.T) string { return clone(t) },
		"sparse": func(t *testing.T) string {
			dir := clone(t)
			gitIn(t, dir, "sparse-checkout", "set", "--no-cone", "/*.hcl")
			return dir
		},
		"shared": func(t *testing.T) string {
			dir := filepath.Join(t.TempDir(), "clone")
			gitIn(t, origin, "clone", "-q", "--shared", origin, dir)
			return dir
		},
		"worktree": func(t *testing.T) string {
			dir := filepath.Join(t.TempDir(), "tree")
			gitIn(t, clone(t), "worktree", "add", "-q", "--detach", dir)
			return dir
		},
		"a pull request's branch":   configured("branch.x.remote", "origin", "branch.x.merge", "refs/pull/1/head"),
		"negative refspec":          configured("remote.origin.fetch", "^refs/heads/dependabot/*"),
		"refspec without a colon":   configured("remote.origin.fetch", "refs/heads/main"),
		"rebase = merges":           configured("branch.main.rebase", "merges"),
		"extensions of no matter":   configured("core.repositoryformatversion", "1", "extensions.objectFormat", "sha1", "extensions.preciousObjects", "true"),
		"extensions.worktreeConfig": configured("core.repositoryformatversion", "1", "extensions.worktreeConfig", "true"),
	}
	for name, make := range cases {
		t.Run(name, func(t *testing.T) {
			dir := make(t)
			rev, err := ReadDir(dir)
			must(t, err)
			if want := gitIn(t, dir, "rev-parse", "HEAD"); rev.Commit != want || rev.Author == "" || len(rev.Unread) != 0 {
				t.Errorf("commit %q by %q, %+v; want %s", rev.Commit, rev.Author, rev.Unread, want)
			}
			c, err := OpenCheckout(dir)
			must(t, err)
			base, _, err := c.Base("HEAD~1")
			must(t, err)
			if contents(base) != "a.hcl=# a" {
				t.Errorf("base %s", contents(base))
			}
		})
	}
	for name, c := range map[string]struct{ args, want string }{
		"SHA-256": {"--object-format=sha256", "SHA256 object names"}, "reftable": {"", "stored as reftable"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if c.args != "" {
				gitIn(t, dir, "init", "-q", c.args)
			} else { // git before 2.45 has no such format
				gitIn(t, dir, "init", "-q")
				gitIn(t, dir, "config", "extensions.refStorage", "reftable")
			}
			put(t, dir, "a.hcl", "# a")
			_, err := OpenCheckout(dir)
			failure(t, err, fault.Failed, c.want)
			rev, err := ReadDir(dir)
			must(t, err)
			if len(rev.Files) != 1 || len(rev.Unread) != 1 || !strings.Contains(rev.Unread[0].Why, c.want) || !strings.Contains(rev.Unread[0].Why, "commit and author are not known") {
				t.Errorf("%+v", rev)
			}
		})
	}
}

// TestAstray: ReadDir reports each file of the work tree that is not in Git, and whether Git ignores it.
func TestAstray(t *testing.T) {
	dir := t.TempDir()
	gitIn(t, dir, "init", "-q")
	for name, text := range map[string]string{
		"a.hcl": "# a", "certs/b.hcl": "# b", "kept.gen.hcl": "# committed before it was ignored",
		".gitignore": "# generated\n*.gen.hcl\n/out/\n", "certs/.gitignore": "tool.hcl\n!keep.gen.hcl\n",
	} {
		put(t, dir, name, text)
	}
	gitIn(t, dir, "add", "-f", ".")
	gitIn(t, dir, "commit", "-qm", "one")
	put(t, dir, ".git/info/exclude", "mine.hcl\n")
	want := map[string]bool{"new.hcl": false, "x.gen.hcl": true, "out/y.hcl": true, "certs/tool.hcl": true, "certs/keep.gen.hcl": false, "mine.hcl": true, "sub/tool.hcl": false}
	for name := range want {
		put(t, dir, name, "# "+name)
	}
	rev, err := ReadDir(dir)
	must(t, err)
	got := map[string]bool{}
	for _, a := range rev.Astray {
		got[a.Path] = a.Ignored
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for name, ignored := range want { // git itself agrees
		err := exec.CommandContext(t.Context(), "git", "-C", dir, "check-ignore", "-q", name).Run()
		if (err == nil) != ignored {
			t.Errorf("git check-ignore %s: %v", name, err)
		}
	}
	if in := rev.InGit(); contents(in) != "a.hcl=# a certs/b.hcl=# b certs/keep.gen.hcl=# certs/keep.gen.hcl kept.gen.hcl=# committed before it was ignored new.hcl=# new.hcl sub/tool.hcl=# sub/tool.hcl" || len(in.Unread) != 4 || len(in.Astray) != 3 {
		t.Errorf("in Git: %s, not read %+v", contents(in), in.Unread)
	}
	if len(rev.Files) != 10 {
		t.Errorf("read: %s", contents(rev))
	}
	for _, sub := range []string{"out", "certs"} { // an ignored directory is still read itself
		rev, err := ReadDir(filepath.Join(dir, sub))
		must(t, err)
		if n := len(rev.Astray); n != map[string]int{"out": 0, "certs": 2}[sub] {
			t.Errorf("%s: %+v", sub, rev.Astray)
		}
	}
	put(t, dir, ".git/index", "garbage")
	if rev, err := ReadDir(dir); err != nil || len(rev.Astray) != 0 || len(rev.Files) != 10 {
		t.Errorf("an index that cannot be read: %+v, %v", rev, err)
	}
}

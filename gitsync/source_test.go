package gitsync

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"certroll/examples/lab"
	"certroll/gitsync/fault"
)

// history pushes two commits to main, and a tag of each kind at the first.
func history(t testing.TB, p place) (first, second string) {
	t.Helper()
	first = p.push(t, "main", map[string]string{
		"a.hcl": "one", "certs/b.hcl": "deep", "certs/x/c.hcl": "deeper", "README.md": "no",
		".github/d.hcl": "hidden", ".e.hcl": "hidden",
	})
	p.git(t, "tag", "light", first)
	p.git(t, "-c", "tag.gpgSign=false", "tag", "-a", "-m", "annotated", "heavy", first)
	second = p.push(t, "main", map[string]string{"a.hcl": "two"})
	p.git(t, "branch", "topic/x", first)
	return first, second
}

func TestFetchRefs(t *testing.T) {
	const old, now = "a.hcl=one certs/b.hcl=deep certs/x/c.hcl=deeper", "a.hcl=two certs/b.hcl=deep certs/x/c.hcl=deeper"
	tests := map[string]struct {
		ref, dir string
		want     string
		first    bool // expect the first commit rather than the second
	}{
		"remote's HEAD":        {ref: "", want: now},
		"branch":               {ref: "main", want: now},
		"branch with a slash":  {ref: "topic/x", want: old, first: true},
		"full ref":             {ref: "refs/heads/main", want: now},
		"light tag":            {ref: "light", want: old, first: true},
		"annotated tag":        {ref: "heavy", want: old, first: true},
		"commit at a tip":      {ref: "SECOND", want: now},
		"directory":            {ref: "main", dir: "certs", want: "b.hcl=deep x/c.hcl=deeper"},
		"directory's spelling": {ref: "main", dir: "./certs/x/", want: "c.hcl=deeper"},
	}
	overAll(t, func(t *testing.T, p place) {
		first, second := history(t, p)
		for name, tc := range tests {
			t.Run(name, func(t *testing.T) {
				ref := strings.ReplaceAll(tc.ref, "SECOND", second)
				rev := fetch(t, p.source(t, SourceOptions{Ref: ref, Directory: tc.dir}))
				commit := second
				if tc.first {
					commit = first
				}
				if got := contents(rev); got != tc.want || rev.Commit != commit {
					t.Errorf("got %s at %s\nwant %s at %s", got, rev.Commit, tc.want, commit)
				}
				if rev.Author != "Lab <lab@example.com>" || rev.Subject != "Change main" || time.Since(rev.Time) > time.Hour {
					t.Errorf("got author %q, subject %q, time %v", rev.Author, rev.Subject, rev.Time)
				}
			})
		}
	})
}

// TestFetchCommitBehindTip: no ref names the pinned commit. Some servers send it on request; with others the source
// finds it in the whole history.
func TestFetchCommitBehindTip(t *testing.T) {
	overAll(t, func(t *testing.T, p place) {
		p.push(t, "main", map[string]string{"a.hcl": "zero"})
		older := p.push(t, "main", map[string]string{"a.hcl": "one"})
		p.push(t, "main", map[string]string{"a.hcl": "two"})
		for _, allow := range []string{"false", "true"} {
			t.Run("allowed="+allow, func(t *testing.T) {
				p.git(t, "config", "uploadpack.allowReachableSHA1InWant", allow)
				s := p.source(t, SourceOptions{Ref: older})
				if rev := fetch(t, s); contents(rev) != "a.hcl=one" || rev.Commit != older {
					t.Errorf("got %s at %s", contents(rev), rev.Commit)
				}
			})
		}
		_, err := p.source(t, SourceOptions{Ref: strings.Repeat("7", 40)}).Fetch(t.Context())
		failure(t, err, fault.RefNotFound, strings.Repeat("7", 40))
	})
}

// TestFetchCommitWrittenDown: the source reads the pinned commit even if someone pushes a branch or tag with the hash
// as its name.
func TestFetchCommitWrittenDown(t *testing.T) {
	overAll(t, func(t *testing.T, p place) {
		pinned := p.push(t, "main", map[string]string{"a.hcl": "looked at"})
		evil := p.push(t, "other", map[string]string{"a.hcl": "evil"})
		for _, name := range []string{"refs/heads/" + pinned, "refs/tags/" + pinned} {
			p.git(t, "update-ref", name, evil)
			rev := fetch(t, p.source(t, SourceOptions{Ref: pinned}))
			if contents(rev) != "a.hcl=looked at" || rev.Commit != pinned {
				t.Errorf("%s: got %s at %s", name, contents(rev), rev.Commit)
			}
		}
	})
}

func TestFetchRefErrors(t *testing.T) {
	tests := map[string]struct {
		ref  string
		want []string
	}{
		"absent":      {ref: "nope", want: []string{"fetching nope from", "no such branch, tag or commit", "was pushed"}},
		"abbreviated": {ref: "abc1234", want: []string{"40 digits"}},
		"ambiguous":   {ref: "both", want: []string{"refs/heads/both or refs/tags/both"}},
	}
	overAll(t, func(t *testing.T, p place) {
		first, second := history(t, p)
		p.git(t, "branch", "both", first)
		p.git(t, "tag", "both", second)
		for name, tc := range tests {
			t.Run(name, func(t *testing.T) {
				_, err := p.source(t, SourceOptions{Ref: tc.ref}).Fetch(t.Context())
				failure(t, err, fault.RefNotFound, tc.want...)
			})
		}
		_, err := p.source(t, SourceOptions{Ref: "main", Directory: "nowhere"}).Fetch(t.Context())
		failure(t, err, fault.Invalid, `no directory "nowhere"`)
	})
}

func TestFetchEmptyRepository(t *testing.T) {
	overAll(t, func(t *testing.T, p place) {
		_, err := p.source(t, SourceOptions{}).Fetch(t.Context())
		failure(t, err, fault.RefNotFound, "no commits yet", "push a commit first")
	})
}

// TestFetchFollows: a source follows its branch forward, backward, and onto an unrelated history, both from memory and
// from an earlier process's cache.
func TestFetchFollows(t *testing.T) {
	for mode, cached := range map[string]bool{"memory": false, "cache": true} {
		t.Run(mode, func(t *testing.T) {
			overAll(t, func(t *testing.T, p place) {
				o := SourceOptions{Ref: "main"}
				if cached {
					o.CacheDir = t.TempDir()
				}
				s := p.source(t, o)
				step := func(want string) {
					t.Helper()
					if got := contents(fetch(t, s)); got != want {
						t.Fatalf("got %s, want %s", got, want)
					}
					if cached { // another process makes the next step
						must(t, s.Close())
						s = p.source(t, o)
						if got := contents(fetch(t, s)); got != want {
							t.Fatalf("after a restart: got %s, want %s", got, want)
						}
					}
				}
				first := p.push(t, "main", map[string]string{"a.hcl": "1", "b.hcl": "b"})
				step("a.hcl=1 b.hcl=b")
				p.push(t, "main", map[string]string{"a.hcl": "2"})
				p.push(t, "main", map[string]string{"a.hcl": "3"})
				step("a.hcl=3 b.hcl=b")
				p.git(t, "update-ref", "refs/heads/main", first)
				step("a.hcl=1 b.hcl=b")
				p.push(t, "other", map[string]string{"z.hcl": "z"})
				p.git(t, "update-ref", "refs/heads/main", "refs/heads/other")
				p.git(t, "reflog", "expire", "--expire=now", "--all")
				p.git(t, "gc", "--quiet", "--prune=now")
				step("z.hcl=z")
				p.push(t, "main", map[string]string{"y.hcl": "y"})
				step("y.hcl=y z.hcl=z")
			})
		})
	}
}

// TestFetchDepth: a source that fetches more than the newest commit follows its branch in the same way.
func TestFetchDepth(t *testing.T) {
	overAll(t, func(t *testing.T, p place) {
		s := p.source(t, SourceOptions{Ref: "main", Depth: 3})
		for _, v := range []string{"1", "2", "3", "4", "5", "6", "7"} {
			p.push(t, "main", map[string]string{"a.hcl": v})
			if v == "2" || v == "3" {
				continue // two steps at once, with a moving shallow boundary
			}
			if got := contents(fetch(t, s)); got != "a.hcl="+v {
				t.Fatalf("got %s, want %s", got, v)
			}
		}
	})
}

// TestCacheIsShared: while one process holds the cache, another works without it.
func TestCacheIsShared(t *testing.T) {
	p := transports["http"](t)
	p.push(t, "main", map[string]string{"a.hcl": "1"})
	o := SourceOptions{Ref: "main", CacheDir: t.TempDir()}
	one, two := p.source(t, o), p.source(t, o)
	if one.store.InMemory() || !one.store.Cached() || two.store.InMemory() || two.store.Cached() {
		t.Error("two hold the cache at once")
	}
	for _, s := range []*Source{one, two} {
		if got := contents(fetch(t, s)); got != "a.hcl=1" {
			t.Errorf("got %s", got)
		}
	}
}

// TestCacheDamaged: the source rebuilds a damaged cache.
func TestCacheDamaged(t *testing.T) {
	damage := map[string]func(t *testing.T, base string){
		"state": func(t *testing.T, base string) {
			must(t, os.WriteFile(filepath.Join(base, "state.json"), []byte("{"), 0o600))
		},
		"objects gone": func(t *testing.T, base string) {
			packs, err := filepath.Glob(filepath.Join(base, "*", "objects", "pack", "*"))
			must(t, err)
			if len(packs) == 0 {
				t.Fatal("the cache holds no pack")
			}
			for _, f := range packs {
				must(t, os.Remove(f))
			}
		},
		"pack cut short": func(t *testing.T, base string) {
			packs, err := filepath.Glob(filepath.Join(base, "*", "objects", "pack", "*.pack"))
			must(t, err)
			if len(packs) == 0 {
				t.Fatal("the cache holds no pack")
			}
			for _, f := range packs {
				must(t, os.Chmod(f, 0o600))
				must(t, os.Truncate(f, 40))
			}
		},
	}
	for name, spoil := range damage {
		t.Run(name, func(t *testing.T) {
			p := transports["http"](t)
			p.push(t, "main", map[string]string{"a.hcl": "1", "b.hcl": strings.Repeat("b", 500)})
			o := SourceOptions{Ref: "main", CacheDir: t.TempDir()}
			s := p.source(t, o)
			fetch(t, s)
			must(t, s.Close())
			spoil(t, cacheOf(t, o.CacheDir))
			p.push(t, "main", map[string]string{"a.hcl": "2"})
			s = p.source(t, o)
			rev, err := s.Fetch(t.Context())
			if err != nil { // the read noticed the damage and dropped the cache; the next fetch repairs it
				rev, err = s.Fetch(t.Context())
			}
			must(t, err)
			if !strings.HasPrefix(contents(rev), "a.hcl=2 b.hcl=bbb") {
				t.Errorf("got %s", contents(rev))
			}
		})
	}
}

func TestFetchLimits(t *testing.T) {
	tests := map[string]struct {
		limits Limits
		want   string
	}{
		"one file": {Limits{FileSize: 99}, "big.hcl has 100 bytes, and a file may have 99"},
		"number":   {Limits{Files: 2}, "more than 2 *.hcl files"},
		"together": {Limits{Total: 101}, "more than 101 bytes together"},
		"the pack": {Limits{Pack: 100}, "larger than allowed"},
	}
	p := transports["http"](t)
	p.push(t, "main", map[string]string{"a.hcl": "a", "b.hcl": "b", "big.hcl": strings.Repeat("x", 100)})
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := p.source(t, SourceOptions{Limits: tc.limits}).Fetch(t.Context())
			failure(t, err, fault.TooLarge, tc.want)
		})
	}
}

// TestFetchHugeFile: the source rejects a much too large file by its size, before reading it.
func TestFetchHugeFile(t *testing.T) {
	overAll(t, func(t *testing.T, p place) {
		p.push(t, "main", map[string]string{"a.hcl": "a", "huge.hcl": strings.Repeat("x", 5<<20)})
		_, err := p.source(t, SourceOptions{}).Fetch(t.Context())
		failure(t, err, fault.TooLarge, "huge.hcl has 5242880 bytes", "split the file")
	})
}

// TestFetchSkipsWhatIsNoFile: the source skips links, submodules and names that only an attacker writes.
func TestFetchSkipsWhatIsNoFile(t *testing.T) {
	p := local(t)
	tip := p.push(t, "main", map[string]string{"a.hcl": "a", "sub/b.hcl": "b"})
	blob := p.git(t, "rev-parse", tip+":a.hcl")
	dir, err := lab.Git(t.Context(), p.path, "rev-parse", tip+":sub")
	must(t, err)
	listing := strings.Join([]string{
		"100644 blob " + blob + "\ta.hcl",
		"120000 blob " + blob + "\tlink.hcl",
		"160000 commit " + tip + "\tmodule.hcl",
		"100755 blob " + blob + "\trun.hcl",
		"040000 tree " + dir + "\t..",
		"040000 tree " + dir + "\tsub",
	}, "\n") + "\n"
	file := filepath.Join(t.TempDir(), "tree")
	must(t, os.WriteFile(file, []byte(listing), 0o600))
	tree := mktree(t, p, listing)
	made := p.git(t, "commit-tree", "-m", "odd", tree)
	p.git(t, "update-ref", "refs/heads/main", made)
	if got := contents(fetch(t, p.source(t, SourceOptions{Ref: "main"}))); got != "a.hcl=a run.hcl=a sub/b.hcl=b" {
		t.Errorf("got %s", got)
	}
}

func TestReadDir(t *testing.T) {
	dir := t.TempDir()
	put := func(name, content string) {
		t.Helper()
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(content), 0o644))
	}
	put("certs/a.hcl", "a")
	put("certs/x/b.hcl", "b")
	put("certs/.hidden/c.hcl", "c")
	put("certs/.d.hcl", "d")
	put("certs/notes.txt", "no")
	must(t, os.Symlink(filepath.Join(dir, "certs/notes.txt"), filepath.Join(dir, "certs/link.hcl")))
	certs := filepath.Join(dir, "certs")
	check := func(t *testing.T, commit string) {
		t.Helper()
		rev, err := ReadDir(certs)
		must(t, err)
		if got := contents(rev); !strings.HasPrefix(got, "a.hcl=") || !strings.HasSuffix(got, " x/b.hcl=b") || len(rev.Files) != 2 {
			t.Errorf("got %s", got)
		}
		if rev.Commit != commit {
			t.Errorf("got commit %q, want %q", rev.Commit, commit)
		}
	}
	check(t, "")
	git := func(args ...string) string {
		t.Helper()
		out, err := lab.Git(context.Background(), dir, args...)
		must(t, err)
		return out
	}
	git("init", "--quiet")
	check(t, "") // no commit yet
	git("add", "--all")
	git("commit", "--quiet", "-m", "first")
	head := git("rev-parse", "HEAD")
	check(t, head)
	put("elsewhere.hcl", "outside the directory")
	check(t, head)
	put("certs/a.hcl", "changed")
	check(t, head+"-dirty")
	put("certs/a.hcl", "a")
	check(t, head)
	worktree := filepath.Join(t.TempDir(), "second")
	git("worktree", "add", "--quiet", worktree)
	certs = filepath.Join(worktree, "certs")
	check(t, head)
}

// TestNamesAreSeen: the source rejects a file name that could begin a new log line or be misread as another name.
func TestNamesAreSeen(t *testing.T) {
	for _, name := range []string{"a\n::error::b.hcl", "a\x1b[2Jb.hcl", "a\u202eb.hcl", "a\xffb.hcl", "x\rx/b.hcl", "a\u200bb.hcl"} {
		dir := t.TempDir()
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700))
		must(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
		_, err := ReadDir(dir)
		failure(t, err, fault.Invalid, fmt.Sprintf("%+q", name), "rename it")
		p := local(t)
		p.push(t, "main", map[string]string{name: "b"})
		_, err = p.source(t, SourceOptions{Ref: "main"}).Fetch(t.Context())
		failure(t, err, fault.Invalid, fmt.Sprintf("%+q", name), "rename it")
	}
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "bücher für alle.hcl"), nil, 0o600))
	if _, err := ReadDir(dir); err != nil {
		t.Error(err)
	}
}

// TestReadDirLeadsOut: replacing a directory by a symbolic link does not make certroll read another directory.
func TestReadDirLeadsOut(t *testing.T) {
	top := t.TempDir()
	work, other := filepath.Join(top, "work"), filepath.Join(top, "other")
	for _, dir := range []string{work, other} {
		must(t, os.MkdirAll(filepath.Join(dir, "real", "deep"), 0o700))
		must(t, os.WriteFile(filepath.Join(dir, "real", "deep", "a.hcl"), []byte("a"), 0o600))
		_, err := lab.Git(t.Context(), dir, "init", "--quiet")
		must(t, err)
	}
	must(t, os.Symlink("../other", filepath.Join(work, "certs")))
	must(t, os.Symlink("real", filepath.Join(work, "within")))
	must(t, os.Symlink("work", filepath.Join(top, "current")))
	for _, dir := range []string{"certs", "certs/real", "certs/real/deep", "within/../certs/real"} {
		_, err := ReadDir(work + "/" + dir)
		failure(t, err, fault.Invalid, "leads out of the work tree", other, "name the directory itself")
	}
	t.Chdir(work)
	_, err := ReadDir("certs")
	failure(t, err, fault.Invalid, "leads out of the work tree")
	for _, dir := range []string{".", "within", "real/deep", filepath.Join(top, "current"), filepath.Join(top, "current", "real"), filepath.Join(other, "real")} {
		if rev, err := ReadDir(dir); err != nil || len(rev.Files) != 1 {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

func TestReadDirErrors(t *testing.T) {
	_, err := ReadDir(filepath.Join(t.TempDir(), "absent"))
	failure(t, err, fault.Invalid, "no such file or directory")
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "huge.hcl"), make([]byte, 2<<20), 0o600))
	_, err = ReadDir(dir)
	failure(t, err, fault.TooLarge, "huge.hcl has 2097152 bytes")
}

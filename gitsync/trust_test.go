package gitsync

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"certroll/gitsync/fault"
	"certroll/gitsync/gitsynctest"
	"certroll/gitsync/signature"
)

// TestFetchSigned: the source holds an unsigned head and accepts it once its signer is allowed. It accepts a signed
// head. The commits come from the real git.
func TestFetchSigned(t *testing.T) {
	s := gitsynctest.NewSigner(t)
	ada, eve := s.SSHKey("ada"), s.SSHKey("eve")
	overAll(t, func(t *testing.T, p place) {
		file := filepath.Join(t.TempDir(), "allowed")
		must(t, os.WriteFile(file, []byte("ada@example.com "+ada), 0o600))
		push := func(commit string) string {
			t.Helper()
			s.Run("git", "push", "--quiet", "--force", p.path, commit+":refs/heads/main")
			return commit
		}
		src := p.source(t, SourceOptions{Ref: "main", Signers: &signature.Signers{AllowedSigners: file}})
		good := push(s.Commit("good", nil, gitsynctest.BySSH(s.Path("ada"))...))
		if rev := fetch(t, src); contents(rev) != "a.hcl=good" || rev.Commit != good {
			t.Errorf("got %s at %s", contents(rev), rev.Commit)
		}
		plain := push(s.Commit("plain", nil))
		for range 2 {
			_, err := src.Fetch(t.Context())
			held(t, err, fault.Unsigned, fault.Held{Commit: plain, Author: "Ada <ada@example.com>"}, "the commit is not signed", "git commit --amend -S")
		}
		// Only the head needs a signature.
		onTop := push(s.Commit("on top", nil, gitsynctest.BySSH(s.Path("ada"))...))
		if rev := fetch(t, src); rev.Commit != onTop {
			t.Errorf("got %s", rev.Commit)
		}
		byEve := push(s.Commit("eve", nil, gitsynctest.BySSH(s.Path("eve"))...))
		_, err := src.Fetch(t.Context())
		held(t, err, fault.BadSignature, fault.Held{Commit: byEve, Author: "Ada <ada@example.com>"}, "is not in "+file)
		must(t, os.WriteFile(file, []byte("ada@example.com "+ada+"\neve@example.com "+eve), 0o600))
		if rev := fetch(t, src); rev.Commit != byEve {
			t.Errorf("got %s", rev.Commit)
		}
		must(t, os.Remove(file))
		if rev := fetch(t, src); rev.Commit != byEve {
			t.Errorf("what was taken is not: %s", rev.Commit)
		}
		push(s.Commit("again", nil, gitsynctest.BySSH(s.Path("ada"))...))
		_, err = src.Fetch(t.Context())
		failure2(t, err, fault.Invalid, file+": no such file", "until then certroll accepts no commit")
	})
}

// held asserts an error about a held head.
func held(t *testing.T, err error, kind fault.Kind, want fault.Held, words ...string) {
	t.Helper()
	failure2(t, err, kind, words...)
	if e := err.(*fault.Error); e.Held == nil || *e.Held != want || e.Class() != "config" {
		t.Errorf("got %+v of class %s, want %+v", e.Held, e.Class(), want)
	}
}

// failure2 is failure for an error of any class.
func failure2(t *testing.T, err error, kind fault.Kind, words ...string) {
	t.Helper()
	if err == nil || !fault.Is(err, kind) {
		t.Fatalf("got %v, want kind %q", err, kind)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("the error lacks %q:\n%v", w, err)
		}
	}
}

// fetchAfter fetches as a source that accepted the commit good before.
func fetchAfter(t *testing.T, s *Source, good string) (*Revision, error) {
	t.Helper()
	rev := fetch(t, s)
	return rev, s.Follows(t.Context(), rev, good)
}

// TestFollows: a head that does not descend from the accepted commit is held. The source is shallow; it sees some steps
// one by one and others at once.
func TestFollows(t *testing.T) {
	overAll(t, func(t *testing.T, p place) {
		var commits []string
		for _, v := range []string{"1", "2", "3", "4", "5"} {
			commits = append(commits, p.push(t, "main", map[string]string{"a.hcl": v}))
		}
		p.git(t, "update-ref", "refs/heads/side", commits[2])
		side := p.push(t, "side", map[string]string{"a.hcl": "side"})
		unrelated := p.push(t, "unrelated", map[string]string{"a.hcl": "unrelated"})
		merge := p.git(t, "-c", "user.name=Lab", "-c", "user.email=lab@example.com", "commit-tree", "-p", unrelated, "-p", commits[4], "-m", "merge", commits[4]+"^{tree}")
		tests := map[string]struct {
			good, head string
			rewritten  bool
		}{
			"nothing was taken":    {"", commits[4], false},
			"the same":             {commits[4], commits[4], false},
			"one commit on":        {commits[3], commits[4], false},
			"four commits on":      {commits[0], commits[4], false},
			"merged":               {commits[1], merge, false},
			"merged from afar":     {unrelated, merge, false},
			"back":                 {commits[4], commits[3], true},
			"far back":             {commits[4], commits[0], true},
			"another branch":       {commits[4], side, true},
			"another history":      {commits[4], unrelated, true},
			"what nobody has seen": {strings.Repeat("7", 40), commits[4], true},
			"a directory's name":   {commits[4] + "-dirty", commits[0], false},
		}
		for name, test := range tests {
			t.Run(name, func(t *testing.T) {
				p.git(t, "update-ref", "refs/heads/watched", test.head)
				check := func(src *Source) {
					t.Helper()
					rev, err := fetchAfter(t, src, test.good)
					if !test.rewritten {
						if err != nil || rev.Commit != test.head {
							t.Errorf("got %v, %v", rev, err)
						}
						return
					}
					held(t, err, fault.Rewritten, fault.Held{Commit: test.head, Author: "Lab <lab@example.com>", Old: test.good},
						"does not descend from "+test.good, "certroll accept "+test.head)
				}
				fresh := p.source(t, SourceOptions{Ref: "watched"})
				check(fresh)
				check(fresh)
				// A source that has a commit fetches only the newer ones.
				p.git(t, "update-ref", "refs/heads/watched", commits[1])
				warm := p.source(t, SourceOptions{Ref: "watched"})
				fetch(t, warm)
				p.git(t, "update-ref", "refs/heads/watched", test.head)
				check(warm)
			})
		}
		t.Run("a commit that was written down", func(t *testing.T) {
			src := p.source(t, SourceOptions{Ref: side})
			if rev, err := fetchAfter(t, src, commits[4]); err != nil || rev.Commit != side {
				t.Errorf("got %v, %v", rev, err)
			}
		})
		t.Run("the old one is gone", func(t *testing.T) {
			gone := p.push(t, "gone", map[string]string{"a.hcl": "gone"})
			p.git(t, "update-ref", "refs/heads/gone", commits[4])
			p.git(t, "reflog", "expire", "--expire=now", "--all")
			p.git(t, "gc", "--quiet", "--prune=now")
			_, err := fetchAfter(t, p.source(t, SourceOptions{Ref: "gone"}), gone)
			held(t, err, fault.Rewritten, fault.Held{Commit: commits[4], Author: "Lab <lab@example.com>", Old: gone})
		})
	})
}

// TestFollowsLooksOnce: while a head is held, the source does not fetch the history again.
func TestFollowsLooksOnce(t *testing.T) {
	p := transports["http"](t)
	good := p.push(t, "main", map[string]string{"a.hcl": "1"})
	src := p.source(t, SourceOptions{Ref: "main"})
	fetch(t, src)
	head := p.push(t, "other", map[string]string{"a.hcl": "2"})
	p.git(t, "update-ref", "refs/heads/main", head)
	for range 2 {
		_, err := fetchAfter(t, src, good)
		held(t, err, fault.Rewritten, fault.Held{Commit: head, Author: "Lab <lab@example.com>", Old: good})
		// From here on the remote can list its refs but not send its history.
		blob := p.git(t, "rev-parse", head+":a.hcl")
		_ = os.Remove(filepath.Join(p.path, "objects", blob[:2], blob[2:]))
	}
	_, err := p.source(t, SourceOptions{Ref: "main"}).Fetch(t.Context())
	failure(t, err, fault.Failed)
}

// TestStrictPath: where signatures are required, certroll does not trust that the objects of a local repository match
// their hashes.
func TestStrictPath(t *testing.T) {
	s := gitsynctest.NewSigner(t)
	file := s.Write("allowed", "ada@example.com "+s.SSHKey("ada"))
	commit := s.Commit("good", nil, gitsynctest.BySSH(s.Path("ada"))...)
	p := local(t)
	s.Run("git", "push", "--quiet", p.path, commit+":refs/heads/main")
	blob := p.git(t, "rev-parse", commit+":a.hcl")
	evil := p.git(t, "hash-object", "-w", "--stdin") // of empty content
	object := func(name string) string { return filepath.Join(p.path, "objects", name[:2], name[2:]) }
	must(t, os.Chmod(object(blob), 0o600))
	b, err := os.ReadFile(object(evil))
	must(t, err)
	must(t, os.WriteFile(object(blob), b, 0o600))
	_, err = p.source(t, SourceOptions{Ref: "main", Signers: &signature.Signers{AllowedSigners: file}}).Fetch(t.Context())
	failure2(t, err, fault.Failed, "its bytes are not those that its hash names")
	if rev := fetch(t, p.source(t, SourceOptions{Ref: "main"})); contents(rev) != "a.hcl=" {
		t.Errorf("the blob was not exchanged: %s", contents(rev))
	}
}

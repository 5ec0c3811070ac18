package gitsync

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"certroll/gitsync/fault"
)

// options returns the options of a person who changes p.
func (p place) options() ReviseOptions {
	return ReviseOptions{URL: p.url, Auth: p.auth, AuthorName: "A. Owner", AuthorEmail: "owner@example.com", Now: at("2026-11-25T10:00:00Z")}
}

// adding returns an edit that adds a word to a file. It first calls meanwhile with the number of earlier runs.
func adding(word string, meanwhile func(ran int)) func([]File) (map[string][]byte, error) {
	ran := 0
	return func(files []File) (map[string][]byte, error) {
		if meanwhile != nil {
			meanwhile(ran)
		}
		ran++
		return map[string][]byte{files[0].Path: append(files[0].Bytes, word...)}, nil
	}
}

func TestRevise(t *testing.T) {
	overAll(t, func(t *testing.T, p place) {
		p.push(t, "main", map[string]string{"certs/a.hcl": "a", "certs/.b.hcl": "b", "README.md": "r"})
		o := p.options()
		o.Ref, o.Directory = "main", "certs"
		done, err := Revise(t.Context(), o, "Rotate api: leaked\n\nOperation: rotate", adding("1", func(ran int) {
			if ran == 0 { // another push comes first
				p.push(t, "main", map[string]string{"certs/a.hcl": "other "})
			}
		}))
		must(t, err)
		if got := p.git(t, "show", "main:certs/a.hcl"); got != "other 1" {
			t.Errorf("the file is %q", got)
		}
		if done.Commit != p.git(t, "rev-parse", "main") || done.Branch != "main" || done.From != "" {
			t.Errorf("it said %+v", done)
		}
		if got := p.git(t, "log", "-1", "--format=%an <%ae>|%cn|%s|%(trailers:key=Operation,valueonly)", "main"); got != "A. Owner <owner@example.com>|A. Owner|Rotate api: leaked|rotate\n" && got != "A. Owner <owner@example.com>|A. Owner|Rotate api: leaked|rotate" {
			t.Errorf("the commit is %q", got)
		}
		if got := p.git(t, "ls-tree", "-r", "--name-only", "main"); got != "README.md\ncerts/.b.hcl\ncerts/a.hcl" {
			t.Errorf("the tree is %q", got)
		}
		p.git(t, "fsck", "--strict", "--full")
	})
}

func TestReviseNewBranch(t *testing.T) {
	overAll(t, func(t *testing.T, p place) {
		main := p.push(t, "main", map[string]string{"a.hcl": "a"})
		o := p.options()
		o.NewBranch = "rotate/api" // based on the branch that HEAD names
		done, err := Revise(t.Context(), o, "Rotate api", adding("1", nil))
		must(t, err)
		if done.Branch != "rotate/api" || done.From != "main" || done.Commit != p.git(t, "rev-parse", "rotate/api") {
			t.Errorf("it said %+v", done)
		}
		if got := p.git(t, "rev-parse", "main", "rotate/api^"); got != main+"\n"+main {
			t.Errorf("main and the new branch's parent are\n%s\nand main was %s", got, main)
		}
		_, err = Revise(t.Context(), o, "Rotate api", adding("2", nil))
		failure(t, err, fault.Invalid, "making the branch rotate/api", "there is such a branch already", "name another one")
		if got := p.git(t, "show", "rotate/api:a.hcl"); got != "a1" {
			t.Errorf("the branch that was there holds %q now", got)
		}
	})
}

// TestReviseNewBranchRaced: another client creates the branch just before certroll does.
func TestReviseNewBranchRaced(t *testing.T) {
	p := local(t)
	p.push(t, "main", map[string]string{"a.hcl": "a"})
	o := p.options()
	o.NewBranch = "mine"
	_, err := Revise(t.Context(), o, "m", adding("1", func(int) { p.push(t, "mine", map[string]string{"a.hcl": "theirs"}) }))
	failure(t, err, fault.Invalid, "there is such a branch already")
	if got := p.git(t, "show", "mine:a.hcl"); got != "theirs" {
		t.Errorf("their branch holds %q", got)
	}
}

// TestReviseNewBranchAnswerLost: the remote accepts the push of a new branch, and its response is lost.
func TestReviseNewBranchAnswerLost(t *testing.T) {
	p := newProxy(t)
	p.push(t, "main", map[string]string{"a.hcl": "a"})
	lost := false
	p.set(func(w http.ResponseWriter, r *http.Request, pass func()) {
		if strings.HasSuffix(r.URL.Path, "/git-receive-pack") && !lost {
			lost = true
			passQuietly(p, r)
			hangUp(w)
			return
		}
		pass()
	})
	o := p.options()
	o.NewBranch = "mine"
	done, err := Revise(t.Context(), o, "m", adding("1", nil))
	must(t, err)
	if !lost || done.Commit != p.git(t, "rev-parse", "mine") || p.git(t, "rev-list", "--count", "mine") != "2" {
		t.Errorf("it said %+v, lost %v, and the branch is\n%s", done, lost, p.git(t, "log", "mine"))
	}
}

func TestReviseRefusals(t *testing.T) {
	p := local(t)
	head := p.push(t, "main", map[string]string{"certs/a.hcl": "a"})
	p.git(t, "tag", "v1", "main")
	p.push(t, "both", map[string]string{"a.hcl": "x"})
	p.git(t, "tag", "both", "main")
	for ref, want := range map[string]struct {
		kind  fault.Kind
		words []string
	}{
		"v1":              {fault.Invalid, []string{"v1: it is a tag, not a branch", "name one that is there"}},
		"refs/tags/v1":    {fault.Invalid, []string{"it is a tag"}},
		head:              {fault.Invalid, []string{"it is a commit, not a branch"}},
		"mian":            {fault.RefNotFound, []string{"mian: there is no such branch"}},
		"refs/heads/gone": {fault.RefNotFound, []string{"there is no such branch"}},
		"both":            {fault.Invalid, []string{"both: it is both a branch and a tag"}},
	} {
		o := p.options()
		o.Ref = ref
		_, err := Revise(t.Context(), o, "m", adding("1", nil))
		failure(t, err, want.kind, append(want.words, "looking for the branch to change at "+p.url)...)
	}
	o := p.options()
	o.Directory = "cert"
	_, err := Revise(t.Context(), o, "m", adding("1", nil))
	failure(t, err, fault.Invalid, `no *.hcl files below "cert/"`, "the branch main")
	o.Directory, o.NewBranch = "", "a..b"
	_, err = Revise(t.Context(), o, "m", adding("1", nil))
	failure(t, err, fault.Invalid, "no name of a branch")
	empty := local(t)
	_, err = Revise(t.Context(), empty.options(), "m", adding("1", nil))
	failure(t, err, fault.Invalid, "HEAD: it names no branch")

	p.hook(t, "pre-receive", "echo 'main is protected' >&2; exit 1\n")
	_, err = Revise(t.Context(), p.options(), "m", adding("1", nil))
	failure(t, err, fault.Refused, "pushing the branch main", "main is protected", "commit to a branch of its own and open a pull request")
	if got := p.git(t, "rev-parse", "main"); got != head {
		t.Error("main moved")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Revise(ctx, p.options(), "m", adding("1", nil))
	failure(t, err, fault.Stopped)
}

func TestGlobalAuthor(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", "")
	if name, email, err := GlobalAuthor(); name != "" || email != "" || err != nil {
		t.Errorf("without a file: %q, %q, %v", name, email, err)
	}
	local(t).git(t, "config", "--file", home+"/.gitconfig", "user.name", "A. Owner")
	if name, email, err := GlobalAuthor(); name != "A. Owner" || email != "" || err != nil {
		t.Errorf("got %q, %q, %v", name, email, err)
	}
}

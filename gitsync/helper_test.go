package gitsync

import (
	"crypto/rand"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"certroll/examples/lab"
	"certroll/examples/lab/labtest"
	"certroll/gitsync/fault"
	"certroll/gitsync/gitsynctest"
	"certroll/gitsync/remote"
)

// place is a repository and the transport to it.
type place struct {
	url  string
	path string // the bare repository on disk
	auth remote.Auth
}

// transports are the transports over which the suites reach a repository.
var transports = map[string]func(t testing.TB) place{
	"file": func(t testing.TB) place {
		path, err := lab.CreateBare(t.TempDir(), "repo")
		must(t, err)
		return place{url: path, path: path}
	},
	"http": func(t testing.TB) place {
		g := labtest.GitHTTP(t)
		url, err := g.Create("repo")
		must(t, err)
		return place{url: url, path: g.Path("repo"), auth: remote.Auth{Username: g.User, Token: g.Token}}
	},
	"ssh": func(t testing.TB) place {
		g := labtest.GitSSH(t)
		url, err := g.Create("repo")
		must(t, err)
		return place{url: url, path: g.Path("repo"), auth: remote.Auth{SSHKeyFile: g.KeyFile, KnownHostsFile: g.KnownHosts}}
	},
}

func local(t testing.TB) place { return transports["file"](t) }

// overAll runs a test over each transport.
func overAll(t *testing.T, test func(t *testing.T, p place)) {
	for name, make := range transports {
		t.Run(name, func(t *testing.T) { test(t, make(t)) })
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	gitsynctest.Must(t, err)
}

// push commits files to a branch with git itself.
func (p place) push(t testing.TB, branch string, files map[string]string) string {
	t.Helper()
	must(t, lab.Push(t.Context(), p.path, branch, files, "Change "+branch+"\n\nfor a test"))
	return p.git(t, "rev-parse", "refs/heads/"+branch)
}

// git runs git in the bare repository.
func (p place) git(t testing.TB, args ...string) string {
	t.Helper()
	out, err := lab.Git(t.Context(), p.path, args...)
	must(t, err)
	return out
}

// hook installs a hook of the bare repository.
func (p place) hook(t testing.TB, name, script string) {
	t.Helper()
	must(t, lab.WriteProgram(filepath.Join(p.path, "hooks", name), []byte("#!/bin/sh\n"+script)))
}

func (p place) source(t testing.TB, o SourceOptions) *Source {
	t.Helper()
	o.URL, o.Auth = p.url, p.auth
	s, err := OpenSource(o)
	must(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func (p place) ledger(t testing.TB, o LedgerOptions) *Ledger {
	t.Helper()
	o.URL, o.Auth = p.url, p.auth
	l, err := OpenLedger(o)
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func fetch(t testing.TB, s *Source) *Revision {
	t.Helper()
	rev, err := s.Fetch(t.Context())
	must(t, err)
	return rev
}

// contents returns a revision's files as one line.
func contents(rev *Revision) string {
	parts := make([]string, len(rev.Files))
	for i, f := range rev.Files {
		parts[i] = f.Path + "=" + strings.TrimSpace(string(f.Bytes))
	}
	return strings.Join(parts, " ")
}

// write returns an edit that sets files regardless of the current ones.
func write(files map[string]string) func(fs.FS) (map[string][]byte, error) {
	return func(fs.FS) (map[string][]byte, error) {
		out := map[string][]byte{}
		for name, content := range files {
			out[name] = []byte(content)
		}
		return out, nil
	}
}

// appendLine returns an edit that adds a line to a file that lacks it.
func appendLine(name, line string) func(fs.FS) (map[string][]byte, error) {
	return func(tree fs.FS) (map[string][]byte, error) {
		old, err := fs.ReadFile(tree, name)
		if err != nil && !os.IsNotExist(err) {
			return nil, err
		}
		if strings.Contains(string(old), line+"\n") {
			return nil, nil
		}
		return map[string][]byte{name: append(old, line+"\n"...)}, nil
	}
}

func commit(t testing.TB, l *Ledger, edit func(fs.FS) (map[string][]byte, error)) string {
	t.Helper()
	h, err := l.Commit(t.Context(), "Test\n\nOperation: test", edit)
	must(t, err)
	return h
}

// failure is gitsynctest.Failure.
func failure(t *testing.T, err error, kind fault.Kind, words ...string) {
	t.Helper()
	gitsynctest.Failure(t, err, kind, words...)
}

// eventually polls until ok or a deadline.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it did not come to pass: %s", what)
		}
	}
}

// secret returns an obviously fake value, different in each call.
func secret() string { return "not-a-secret-" + rand.Text() }

// mktree writes a tree object from a listing in the format of git ls-tree.
func mktree(t testing.TB, p place, listing string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", "mktree", "--missing")
	cmd.Dir, cmd.Stdin = p.path, strings.NewReader(listing)
	out, err := cmd.Output()
	must(t, err)
	return strings.TrimSpace(string(out))
}

func removeHook(p place) error { return os.Remove(filepath.Join(p.path, "hooks", "pre-receive")) }

package main

import (
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"certroll/cmd/certroll/console"
	"certroll/cmd/certroll/metrics"
	"certroll/cmd/certroll/settings"
	"certroll/examples/lab"
	"certroll/gitsync"
	"certroll/spec"
)

// idleDaemon is one that talks to nobody.
func idleDaemon(t *testing.T, configDir string) *daemon {
	t.Helper()
	s := settings.Usual()
	s.StateDir = t.TempDir()
	files, err := newWatch(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(files.Close)
	return &daemon{
		app: &app{configDir: configDir, Console: console.Console{Err: io.Discard, NoColor: true}}, settings: s, log: slog.New(slog.DiscardHandler),
		say: newDecisions(slog.New(slog.DiscardHandler)), metrics: metrics.New(version()), health: newHealth(s.Interval),
		files: files,
	}
}

// TestDirectoryChangesAgain: in a work tree with changes that are not
// committed, one more of them is taken too.
func TestDirectoryChangesAgain(t *testing.T) {
	for name, git := range map[string]bool{"a plain directory": false, "a work tree": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if git {
				for _, args := range [][]string{{"init", "--quiet"}, {"commit", "--quiet", "--allow-empty", "-m", "first"}} {
					if _, err := lab.Git(t.Context(), dir, args...); err != nil {
						t.Fatal(err)
					}
				}
			}
			d := idleDaemon(t, dir)
			for _, text := range []string{"locals { a = 1 }", "locals { a = 2 }", "locals { a = 3 }"} {
				if err := os.WriteFile(filepath.Join(dir, "a.hcl"), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				if err := d.pull(t.Context()); err != nil {
					t.Fatal(err)
				}
				if got := string(d.good.Files[0].Bytes); got != text {
					t.Errorf("%s is in force at %s, and the file says %s", got, d.good.Commit, text)
				}
				taken := d.takenAt
				if err := d.pull(t.Context()); err != nil || !d.takenAt.Equal(taken) {
					t.Errorf("the same is taken again: %v", err)
				}
			}
		})
	}
}

// TestLastGoodIsSigned: where commits are to be signed, what was kept on the
// disk before that, or from a directory, does not come into force.
func TestLastGoodIsSigned(t *testing.T) {
	rev := &gitsync.Revision{Commit: strings.Repeat("a", 40), Files: []gitsync.File{{Path: "a.hcl", Bytes: []byte("locals { a = 1 }")}}}
	branch, verify := sourceAt(t, "/srv/git/certificates.git"), &settings.Verify{SSHAllowedSigners: "/etc/certroll/allowed_signers"}
	for name, tc := range map[string]struct {
		taken, now *settings.Verify
		from       *gitsync.Source
		refused    bool
	}{
		"signatures never counted":  {nil, nil, branch, false},
		"they counted then and now": {verify, verify, branch, false},
		"they count no more":        {verify, nil, branch, false},
		"they count from now on":    {nil, verify, branch, true},
		"it was a directory":        {verify, verify, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			d := idleDaemon(t, "")
			d.source, d.settings.Verify, d.good, d.takenAt = tc.from, tc.taken, rev, time.Now()
			if d.keepGood(); d.unkept != nil {
				t.Fatal(d.unkept)
			}
			d.source, d.settings.Verify, d.good = branch, tc.now, nil
			err := d.fallBack(t.Context())
			if (err != nil) != tc.refused || (d.good != nil) == tc.refused || err != nil && !strings.Contains(err.Error(), "until it can read a signed head") {
				t.Errorf("got %v, %+v", err, d.good)
			}
		})
	}
}

// TestLastGoodIsOfThisRepo: what another repository wanted does not come into
// force, where two settings share a state directory or repo.url is another now.
func TestLastGoodIsOfThisRepo(t *testing.T) {
	d := idleDaemon(t, "")
	d.source, d.good, d.takenAt = sourceAt(t, "/srv/git/certificates.git"), &gitsync.Revision{Commit: strings.Repeat("a", 40)}, time.Now()
	if d.keepGood(); d.unkept != nil {
		t.Fatal(d.unkept)
	}
	d.source, d.good = sourceAt(t, "/srv/git/others.git"), nil
	if err := d.fallBack(t.Context()); err == nil || d.good != nil {
		t.Errorf("another repository's: got %v, %+v", err, d.good)
	}
	d.source = sourceAt(t, "/srv/git/certificates.git")
	if err := d.fallBack(t.Context()); err != nil || d.good == nil {
		t.Errorf("its own: got %v", err)
	}
}

func sourceAt(t *testing.T, path string) *gitsync.Source {
	t.Helper()
	s, err := gitsync.OpenSource(gitsync.SourceOptions{URL: path})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestErrorsAreSeen: an error holds texts of others, which act on no terminal;
// nor does a reason begin a line of its own in a commit.
func TestErrorsAreSeen(t *testing.T) {
	var out strings.Builder
	a := &app{Console: console.Console{In: strings.NewReader(""), Out: io.Discard, Err: &out, Getenv: func(string) string { return "" }}}
	if code := a.main([]string{"apply", "no\x1b[2J\rsuch\u202efile"}); code != console.ExitError || !strings.Contains(out.String(), "certroll plan --out") || strings.ContainsAny(out.String(), "\x1b\r\u202e") {
		t.Errorf("%d, %q", code, out.String())
	}
	if err := a.checkEdit(&editFlags{reason: "moved\nCertificate: another"}); err == nil || !strings.Contains(err.Error(), "one line") {
		t.Errorf("got %v", err)
	}
	if err := a.checkEdit(&editFlags{reason: " moved\n"}); err != nil {
		t.Error(err)
	}
}

// TestNewRuleHoldsWhatWasInForce: after an upgrade the revision of before stays in
// force, also where it is the head, and another one that breaks the rule does not.
func TestNewRuleHoldsWhatWasInForce(t *testing.T) {
	const pdns = "dns \"pdns\" {\n  provider    = \"pdns\"\n  credentials = { PDNS_API_URL = \"http://pdns.internal\" }\n}\n"
	rev := &gitsync.Revision{Commit: strings.Repeat("a", 40), Files: []gitsync.File{{Path: "a.hcl", Bytes: []byte(pdns)}}}
	d := idleDaemon(t, "")
	d.settings.File = &spec.File{Path: "certroll.hcl"}
	d.source, d.good, d.takenAt = sourceAt(t, "/srv/git/certificates.git"), rev, time.Now()
	if d.keepGood(); d.unkept != nil {
		t.Fatal(d.unkept)
	}
	d.good = nil
	desired, _, diags := d.decodeNewest(t.Context(), rev, nil)
	if diags.HasErrors() || len(desired.DNS["pdns"].Held) != 1 {
		t.Errorf("the head that was in force: %v", diags)
	}
	if err := d.fallBack(t.Context()); err != nil || len(d.desired.DNS["pdns"].Held) != 1 {
		t.Errorf("the last good revision: %v", err)
	}
	other := &gitsync.Revision{Commit: strings.Repeat("b", 40), Files: rev.Files}
	if _, _, diags := d.decodeNewest(t.Context(), other, nil); !diags.HasErrors() {
		t.Error("a new revision is not rejected")
	}
}

// TestDamagedLastGood: a last-good.json that a loss of power emptied or cut, or
// that cannot be read, is set aside with one warning and counts as absent. The next
// revision is taken and kept as on a fresh disk.
func TestDamagedLastGood(t *testing.T) {
	for name, damage := range map[string]func(string) error{
		"empty":   func(f string) error { return os.WriteFile(f, nil, 0o600) },
		"cut":     func(f string) error { return os.Truncate(f, 20) },
		"NUL":     func(f string) error { return os.WriteFile(f, make([]byte, 300), 0o600) },
		"nothing": func(f string) error { return os.WriteFile(f, []byte("{}"), 0o600) },
		"null":    func(f string) error { return os.WriteFile(f, []byte("null"), 0o600) },
		"a directory": func(f string) error {
			return errors.Join(os.Remove(f), os.MkdirAll(filepath.Join(f, "below"), 0o700))
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := idleDaemon(t, oneFile(t))
			var said strings.Builder
			d.log = slog.New(slog.NewTextHandler(&said, nil))
			if err := d.pull(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := damage(d.goodFile()); err != nil {
				t.Fatal(err)
			}
			d.good, d.desired = nil, nil
			for range 2 {
				if k, err := d.readGood(); !errors.Is(err, fs.ErrNotExist) {
					t.Fatalf("got %+v, %v", k, err)
				}
			}
			if n := strings.Count(said.String(), "level=WARN"); n != 1 || !strings.Contains(said.String(), d.goodFile()+".bad") {
				t.Errorf("%d warnings:\n%s", n, said.String())
			}
			if err := d.pull(t.Context()); err != nil {
				t.Fatal(err)
			}
			d.good = nil
			if err := d.fallBack(t.Context()); err != nil || d.good == nil {
				t.Errorf("the next revision was not kept: %v", err)
			}
		})
	}
}

// TestLastGoodIsKeptLater: a revision that could not be kept on a full disk is kept
// by a later pull, though it is in force already.
func TestLastGoodIsKeptLater(t *testing.T) {
	d := idleDaemon(t, oneFile(t))
	state := d.settings.StateDir
	d.settings.StateDir = filepath.Join(state, "not there")
	if err := d.pull(t.Context()); err != nil || d.good == nil || d.unkept == nil {
		t.Fatalf("got %v, in force is %v, and unkept is %v", err, d.good, d.unkept)
	}
	d.settings.StateDir = state
	if err := d.pull(t.Context()); err != nil || d.unkept != nil {
		t.Fatalf("got %v and %v", err, d.unkept)
	}
	if _, err := d.readGood(); err != nil {
		t.Error(err)
	}
}

// oneFile is a directory with a file that declares nothing.
func oneFile(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.hcl"), []byte("locals { a = 1 }"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

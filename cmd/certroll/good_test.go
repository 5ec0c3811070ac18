package main

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"certroll/examples/lab"
	"certroll/gitsync"
)

// idleDaemon is one that talks to nobody.
func idleDaemon(t *testing.T, configDir string) *daemon {
	t.Helper()
	s := &settings{StateDir: t.TempDir()}
	s.fill()
	return &daemon{
		app: &app{configDir: configDir, err: io.Discard, noColor: true}, settings: s, log: slog.New(slog.DiscardHandler),
		say: newDecisions(slog.New(slog.DiscardHandler)), metrics: newMetrics(), health: newHealth(s.interval),
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
	branch, verify := sourceAt(t, "/srv/git/certificates.git"), &verifySettings{SSHAllowedSigners: "/etc/certroll/allowed_signers"}
	for name, tc := range map[string]struct {
		taken, now *verifySettings
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
			if err := d.keepGood(); err != nil {
				t.Fatal(err)
			}
			d.source, d.settings.Verify, d.good = branch, tc.now, nil
			err := d.fallBack()
			if (err != nil) != tc.refused || (d.good != nil) == tc.refused || err != nil && !strings.Contains(err.Error(), "until a signed head can be read") {
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
	if err := d.keepGood(); err != nil {
		t.Fatal(err)
	}
	d.source, d.good = sourceAt(t, "/srv/git/others.git"), nil
	if err := d.fallBack(); err == nil || d.good != nil {
		t.Errorf("another repository's: got %v, %+v", err, d.good)
	}
	d.source = sourceAt(t, "/srv/git/certificates.git")
	if err := d.fallBack(); err != nil || d.good == nil {
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
	a := &app{in: strings.NewReader(""), out: io.Discard, err: &out, getenv: func(string) string { return "" }}
	if code := a.main([]string{"apply", "no\x1b[2J\rsuch\u202efile"}); code != exitError || !strings.Contains(out.String(), "certroll plan -out") || strings.ContainsAny(out.String(), "\x1b\r\u202e") {
		t.Errorf("%d, %q", code, out.String())
	}
	if err := a.checkEdit(&editFlags{reason: "moved\nCertificate: another"}); err == nil || !strings.Contains(err.Error(), "one line") {
		t.Errorf("got %v", err)
	}
	if err := a.checkEdit(&editFlags{reason: " moved\n"}); err != nil {
		t.Error(err)
	}
}

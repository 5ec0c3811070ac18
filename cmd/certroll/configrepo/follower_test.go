package configrepo

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2"

	"certroll/cmd/certroll/settings"
	"certroll/examples/lab"
	"certroll/gitsync"
	"certroll/reconcile/ledger"
	"certroll/spec"
)

// idleFollower returns a Follower without servers.
func idleFollower(t *testing.T, configDir string) *Follower {
	t.Helper()
	s := settings.Usual()
	s.StateDir = t.TempDir()
	return Follow(s, configDir, slog.New(slog.DiscardHandler), Observers{
		Retried: func(string, error) {}, Hold: func(ledger.Reason) {}, DecodingSince: func(time.Time) {},
		Nudge: func() {}, Show: func([]spec.File, hcl.Diagnostics) {}, Advice: func() string { return "" },
	})
}

// TestDirectoryChangesAgain: in a work tree with uncommitted changes, the follower notices the next change as well.
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
			f := idleFollower(t, dir)
			for _, text := range []string{"locals { a = 1 }", "locals { a = 2 }", "locals { a = 3 }"} {
				if err := os.WriteFile(filepath.Join(dir, "a.hcl"), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				if err := f.Pull(t.Context()); err != nil {
					t.Fatal(err)
				}
				if got := string(f.Good.Files[0].Bytes); got != text {
					t.Errorf("%s is in force at %s, and the file says %s", got, f.Good.Commit, text)
				}
				taken := f.TakenAt
				if err := f.Pull(t.Context()); err != nil || !f.TakenAt.Equal(taken) {
					t.Errorf("the same is taken again: %v", err)
				}
			}
		})
	}
}

// TestLastGoodIsSigned: where signatures are required, a last good revision stored before that, or from a directory,
// does not come into force.
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
			f := idleFollower(t, "")
			f.source, f.settings.Verify, f.Good, f.TakenAt = tc.from, tc.taken, rev, time.Now()
			if f.keepGood(); f.unstored != nil {
				t.Fatal(f.unstored)
			}
			f.source, f.settings.Verify, f.Good = branch, tc.now, nil
			err := f.fallBack(t.Context())
			if (err != nil) != tc.refused || (f.Good != nil) == tc.refused || err != nil && !strings.Contains(err.Error(), "until it can read a signed head") {
				t.Errorf("got %v, %+v", err, f.Good)
			}
		})
	}
}

// TestLastGoodIsOfThisRepo: the last good revision of another repository does not come into force, whether two
// configurations share a state directory or repo.url has changed.
func TestLastGoodIsOfThisRepo(t *testing.T) {
	f := idleFollower(t, "")
	f.source, f.Good, f.TakenAt = sourceAt(t, "/srv/git/certificates.git"), &gitsync.Revision{Commit: strings.Repeat("a", 40)}, time.Now()
	if f.keepGood(); f.unstored != nil {
		t.Fatal(f.unstored)
	}
	f.source, f.Good = sourceAt(t, "/srv/git/others.git"), nil
	if err := f.fallBack(t.Context()); err == nil || f.Good != nil {
		t.Errorf("another repository's: got %v, %+v", err, f.Good)
	}
	f.source = sourceAt(t, "/srv/git/certificates.git")
	if err := f.fallBack(t.Context()); err != nil || f.Good == nil {
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

// TestNewRuleHoldsWhatWasInForce: after an upgrade the revision from before stays in force, also as the head. Another
// revision that breaks the new rule is rejected.
func TestNewRuleHoldsWhatWasInForce(t *testing.T) {
	const pdns = "dns \"pdns\" {\n  provider    = \"pdns\"\n  credentials = { PDNS_API_URL = \"http://pdns.internal\" }\n}\n"
	rev := &gitsync.Revision{Commit: strings.Repeat("a", 40), Files: []gitsync.File{{Path: "a.hcl", Bytes: []byte(pdns)}}}
	f := idleFollower(t, "")
	f.settings.File = &spec.File{Path: "certroll.hcl"}
	f.source, f.Good, f.TakenAt = sourceAt(t, "/srv/git/certificates.git"), rev, time.Now()
	if f.keepGood(); f.unstored != nil {
		t.Fatal(f.unstored)
	}
	f.Good = nil
	desired, _, diags := f.decodeNewest(t.Context(), rev, nil)
	if diags.HasErrors() || len(desired.DNS["pdns"].Held) != 1 {
		t.Errorf("the head that was in force: %v", diags)
	}
	if err := f.fallBack(t.Context()); err != nil || len(f.Desired.DNS["pdns"].Held) != 1 {
		t.Errorf("the last good revision: %v", err)
	}
	other := &gitsync.Revision{Commit: strings.Repeat("b", 40), Files: rev.Files}
	if _, _, diags := f.decodeNewest(t.Context(), other, nil); !diags.HasErrors() {
		t.Error("a new revision is not rejected")
	}
}

// TestDamagedLastGood: a last-good.json that is empty, truncated or unreadable is set aside with one warning and counts
// as absent. The next revision is accepted and stored as on a new disk.
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
			f := idleFollower(t, oneFile(t))
			var said strings.Builder
			f.log = slog.New(slog.NewTextHandler(&said, nil))
			if err := f.Pull(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := damage(f.goodFile()); err != nil {
				t.Fatal(err)
			}
			f.Good, f.Desired = nil, nil
			for range 2 {
				if k, err := f.readGood(); !errors.Is(err, fs.ErrNotExist) {
					t.Fatalf("got %+v, %v", k, err)
				}
			}
			if n := strings.Count(said.String(), "level=WARN"); n != 1 || !strings.Contains(said.String(), f.goodFile()+".bad") {
				t.Errorf("%d warnings:\n%s", n, said.String())
			}
			if err := f.Pull(t.Context()); err != nil {
				t.Fatal(err)
			}
			f.Good = nil
			if err := f.fallBack(t.Context()); err != nil || f.Good == nil {
				t.Errorf("the next revision was not kept: %v", err)
			}
		})
	}
}

// TestLastGoodIsKeptLater: after a full disk prevented storing a revision, a later pull stores it, although it is
// already in force.
func TestLastGoodIsKeptLater(t *testing.T) {
	f := idleFollower(t, oneFile(t))
	state := f.settings.StateDir
	f.settings.StateDir = filepath.Join(state, "not there")
	if err := f.Pull(t.Context()); err != nil || f.Good == nil || f.unstored == nil {
		t.Fatalf("got %v, in force is %v, and unkept is %v", err, f.Good, f.unstored)
	}
	f.settings.StateDir = state
	if err := f.Pull(t.Context()); err != nil || f.unstored != nil {
		t.Fatalf("got %v and %v", err, f.unstored)
	}
	if _, err := f.readGood(); err != nil {
		t.Error(err)
	}
}

// oneFile returns a directory with a file that declares nothing.
func oneFile(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.hcl"), []byte("locals { a = 1 }"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestReloadVerify: a reload that starts or stops requiring signatures stores the last good revision again, marked
// accordingly, so that it remains usable after a restart.
func TestReloadVerify(t *testing.T) {
	verify := &settings.Verify{SSHAllowedSigners: "/etc/certroll/allowed_signers"}
	for name, tc := range map[string]struct {
		before, now *settings.Verify
		anew        bool
	}{
		"added":       {nil, verify, true},
		"taken out":   {verify, nil, true},
		"as it was":   {verify, verify, false},
		"not at all":  {nil, nil, false},
		"other files": {verify, &settings.Verify{SSHAllowedSigners: "/etc/certroll/signers"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			f := idleFollower(t, "")
			f.settings.Repo.URL, f.settings.Verify = t.TempDir(), tc.before
			f.source, f.TakenAt = sourceAt(t, f.settings.Repo.URL), time.Now()
			f.Good = &gitsync.Revision{Commit: strings.Repeat("a", 40)}
			f.keepGood()
			now := *f.settings
			now.Verify = tc.now
			if err := f.UseSettings(&now, &spec.Spec{}); err != nil {
				t.Fatal(err)
			}
			if f.onDisk == tc.anew {
				t.Errorf("it is as it should be on the disk: %t", f.onDisk)
			}
			f.keepGood() // verifies the head's signature
			if k, err := f.readGood(); err != nil || k.Signed != (tc.now != nil) {
				t.Errorf("signed: %+v (%v)", k, err)
			}
			f.Good = nil
			if err := f.fallBack(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestReloadSource: a change of signers opens the config repo again. If that fails, certroll keeps reading it as
// before.
func TestReloadSource(t *testing.T) {
	f := idleFollower(t, "")
	old := &settings.Settings{Repo: &settings.Repo{URL: t.TempDir()}}
	f.source = sourceAt(t, old.Repo.URL)
	signed := &settings.Settings{Repo: old.Repo, Verify: &settings.Verify{SSHAllowedSigners: "signers"}}
	before := f.source
	if settings.SameSource(old, signed) || !settings.SameSource(old, &settings.Settings{Repo: &settings.Repo{URL: old.Repo.URL}}) {
		t.Error("a change of the signers is none, or the same settings are others")
	}
	if err := f.reopenSource(old, signed); err != nil || f.source == before {
		t.Errorf("it was not opened anew: %v", err)
	}
	before = f.source
	t.Setenv("GIT_TOKEN", "")
	if err := f.reopenSource(old, &settings.Settings{Repo: &settings.Repo{URL: old.Repo.URL, Auth: &settings.GitAuth{TokenEnv: "GIT_TOKEN"}}}); err == nil || f.source == nil || f.source == before {
		t.Errorf("without its token: %v", err)
	}
}

// TestPullOfADirectory: a pull reads each edit once. Without an edit it writes nothing, because it would mistake its
// own write for an edit.
func TestPullOfADirectory(t *testing.T) {
	dir := t.TempDir()
	f := idleFollower(t, dir)
	pull := func(locals string) (stored os.FileInfo) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "a.hcl"), []byte(locals), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := f.Pull(t.Context()); err != nil {
			t.Fatal(err)
		}
		stored, err := os.Stat(f.goodFile())
		if err != nil {
			t.Fatal(err)
		}
		return stored
	}
	first := pull("locals { a = 1 }\n")
	if again := pull("locals { a = 1 }\n"); !os.SameFile(first, again) {
		t.Error("nothing changed, and the last good revision was written again")
	}
	pull("locals { a = 2 }\n")
	if got := string(f.Good.Files[0].Bytes); !strings.Contains(got, "2") {
		t.Errorf("in force is %q", got)
	}
	if err := os.Remove(filepath.Join(dir, "a.hcl")); err != nil {
		t.Fatal(err)
	}
	if err := f.Pull(t.Context()); err == nil || len(f.Good.Files) != 1 {
		t.Errorf("an empty directory: error %v, %d files in force", err, len(f.Good.Files))
	}
}

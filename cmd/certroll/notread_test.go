package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"certroll/cmd/certroll/console"
	"certroll/examples/lab"
	"certroll/reconcile/ledger"
)

// TestAFileThatIsNotReadRetiresNothing: a file is moved away and replaced by a link. Its certificate is not retired,
// neither by apply nor by the daemon. The plan of the pull request reports the file, and other certificates continue.
func TestAFileThatIsNotReadRetiresNothing(t *testing.T) {
	t.Parallel()
	shop := strings.ReplaceAll(oneCertificate, "api", "shop")
	files := map[string]string{"certs/api.hcl": strings.Replace(oneCertificate, "{", "{\n  on_remove = \"revoke\"", 1), "certs/shop.hcl": shop, "certs/www.hcl": strings.ReplaceAll(oneCertificate, "api", "www")}
	w := newLab(t).fresh(t, files)
	w.repoMore = `directory = "certs"`
	w.settings(`interval = "1s"`)
	w.certroll(0, "apply", "-auto-approve")
	was := w.serial("api")

	// In a checkout the file becomes a link to a file outside the directory, and another file gets a name that certroll
	// does not read.
	checkout := filepath.Join(t.TempDir(), "checkout")
	git := func(args ...string) {
		t.Helper()
		if _, err := lab.Git(t.Context(), checkout, args...); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := lab.Git(t.Context(), "", "clone", "--quiet", "--branch=main", w.repo, checkout); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(checkout, "shared"), 0o755); err != nil {
		t.Fatal(err)
	}
	git("mv", "certs/api.hcl", "shared/api.hcl")
	if err := os.Symlink("../shared/api.hcl", filepath.Join(checkout, "certs", "api.hcl")); err != nil {
		t.Fatal(err)
	}
	git("rm", "--quiet", "certs/shop.hcl")
	git("add", "--all")
	git("commit", "--quiet", "--message", "Share a file, and end the shop")
	out := strings.Join(strings.Fields(w.certroll(1, "plan", "-config-dir", filepath.Join(checkout, "certs"), "-base", "origin/main")), " ")
	if !strings.Contains(out, `certificate "api" is held: its block is gone, and api.hcl, where it stood, is a symbolic link`) {
		t.Errorf("plan --base does not say it:\n%s", out)
	}

	git("push", "--quiet", "origin", "HEAD:main")
	cmd, log := w.startRun()
	w.until("the hold", log, func() bool { return w.countEvents("hold", "held") == 1 })
	w.until("the end of the other", log, func() bool { return w.countEvents("retire", "success") == 1 })
	w.stopRun(cmd, log)
	for _, command := range [][]string{{"plan"}, {"apply", "-auto-approve"}} {
		if out := w.certroll(1, command...); !strings.Contains(out, `certificate "api" is held`) {
			t.Errorf("%v does not say it:\n%s", command, out)
		}
	}
	if out := w.certroll(1, "plan"); !strings.Contains(out, "retire waits until its file is read again or gone") {
		t.Errorf("plan names a time:\n%s", out)
	}
	w.stays("api", 1, was)
	for _, e := range w.events() {
		if e.Operation == string(ledger.KindRetire) && e.Certificate != "shop" || e.Reason == string(ledger.ReasonNotRead) && (e.Certificate != "api" || e.Status != "held") {
			t.Errorf("told: %+v", e)
		}
	}

	git("rm", "--quiet", "certs/api.hcl")
	git("commit", "--quiet", "--message", "End it")
	git("push", "--quiet", "origin", "HEAD:main")
	w.certroll(0, "apply", "-auto-approve")
	if w.countEvents("retire", "success") != 2 {
		t.Error("it is held though nothing lies there any more")
	}
}

// TestPlanBaseLeavesOutWhatGitIgnores: a file that is in no commit is not part of a change. Without --base, plan reads
// it as apply does, with a warning.
func TestPlanBaseLeavesOutWhatGitIgnores(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	git := func(args ...string) {
		t.Helper()
		if _, err := lab.Git(t.Context(), dir, args...); err != nil {
			t.Fatal(err)
		}
	}
	git("init", "--quiet", "--initial-branch=main")
	write(".gitignore", "tool.hcl\n")
	write("old.hcl", oldAndNew)
	git("add", "--all")
	git("commit", "--quiet", "--message", "Declare one")
	certificate := oldAndNew[strings.Index(oldAndNew, "certificate"):]
	write("tool.hcl", strings.ReplaceAll(certificate, "old", "tool"))
	write("fresh.hcl", strings.ReplaceAll(certificate, "old", "fresh"))
	for _, c := range []struct {
		args    []string
		has     []string
		lacks   string
		warning []string
	}{
		{[]string{"plan", "-offline", "-config-dir", dir, "-base", "HEAD"}, []string{"+ fresh"}, "+ tool", []string{"tool.hcl is ignored by Git", "is not part of the change", "fresh.hcl is not added to Git"}},
		{[]string{"plan", "-offline", "-config-dir", dir}, []string{"+ fresh", "+ tool", "+ old"}, "nothing to do", []string{"tool.hcl is ignored by Git", "fresh.hcl is not added to Git"}},
		{[]string{"validate", dir}, []string{"3 certificates in 3 files"}, "there is no", []string{"tool.hcl is ignored by Git", "fresh.hcl is not added to Git"}},
	} {
		var out, said strings.Builder
		a := &app{Console: console.Console{In: strings.NewReader(""), Out: &out, Err: &said, NoColor: true, Getenv: func(string) string { return "" }}}
		if code := a.main(c.args); code != console.ExitOK {
			t.Errorf("%v: exit code %d: %s", c.args, code, &said)
		}
		words := strings.Join(strings.Fields(said.String()), " ")
		for _, w := range c.has {
			if !strings.Contains(out.String(), w) {
				t.Errorf("%v lacks %q:\n%s", c.args, w, &out)
			}
		}
		for _, w := range c.warning {
			if !strings.Contains(words, w) {
				t.Errorf("%v lacks the warning %q:\n%s", c.args, w, &said)
			}
		}
		if strings.Contains(out.String(), c.lacks) {
			t.Errorf("%v has %q:\n%s", c.args, c.lacks, &out)
		}
	}
}

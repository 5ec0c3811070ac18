package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"certroll/cmd/certroll/console"
	"certroll/examples/lab"
)

// oldAndNew are the certificates of a change: the base contains the first one in another version.
const oldAndNew = `
issuer "le" {
  directory               = "https://acme-v02.api.letsencrypt.org/directory"
  email                   = "tls@example.com"
  terms_of_service_agreed = true
}
dns "cf" {
  provider    = "cloudflare"
  credentials = { CF_DNS_API_TOKEN = env("CERTROLL_DNS_TOKEN") }
}
certificate "old" {
  domains = ["old.example.com"]
  issuer  = issuer.le
  dns     = dns.cf
}
`

// TestPlanBaseInEachCheckout: plan --base works in the kinds of checkout that git makes, and names the reason for those
// that are not supported.
func TestPlanBaseInEachCheckout(t *testing.T) {
	t.Parallel()
	git := func(t *testing.T, dir string, args ...string) string {
		t.Helper()
		out, err := lab.Git(t.Context(), dir, args...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	write := func(t *testing.T, dir string, files map[string]string) {
		t.Helper()
		for name, text := range files {
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	commit := func(t *testing.T, dir string, files map[string]string) {
		t.Helper()
		write(t, dir, files)
		git(t, dir, "add", "--all")
		git(t, dir, "commit", "--quiet", "--message", "Change")
	}
	fresh := strings.ReplaceAll(oldAndNew[strings.Index(oldAndNew, "certificate"):], "old", "fresh")
	origin := t.TempDir()
	git(t, origin, "init", "--quiet", "--initial-branch=main")
	git(t, origin, "config", "uploadpack.allowFilter", "true")
	commit(t, origin, map[string]string{"certs/old.hcl": oldAndNew, "other/large.bin": strings.Repeat("x", 1<<16)})
	commit(t, origin, map[string]string{"certs/fresh.hcl": fresh})
	clone := func(args ...string) func(t *testing.T) string {
		return func(t *testing.T) string {
			dir := filepath.Join(t.TempDir(), "clone")
			git(t, "", append(append([]string{"clone", "--quiet"}, args...), "file://"+origin, dir)...)
			return dir
		}
	}
	then := func(first func(*testing.T) string, args ...string) func(*testing.T) string {
		return func(t *testing.T) string {
			dir := first(t)
			git(t, dir, args...)
			return dir
		}
	}
	worktree := func(t *testing.T) string {
		dir := filepath.Join(t.TempDir(), "tree")
		git(t, clone()(t), "worktree", "add", "--quiet", "--detach", dir)
		return dir
	}
	made := func(args ...string) func(t *testing.T) string {
		return func(t *testing.T) string {
			dir := t.TempDir()
			git(t, dir, append([]string{"init", "--quiet", "--initial-branch=main"}, args...)...)
			commit(t, dir, map[string]string{"certs/old.hcl": oldAndNew})
			commit(t, dir, map[string]string{"certs/fresh.hcl": fresh})
			return dir
		}
	}
	const works, added = "", "+ fresh"
	for name, c := range map[string]struct {
		make func(t *testing.T) string
		says string // works: the plan contains exactly the change
	}{
		"plain":                 {clone(), works},
		"without blobs":         {clone("--filter=blob:none"), works},
		"without trees":         {clone("--filter=tree:0"), "fetch them without a filter"},
		"sparse":                {then(clone(), "sparse-checkout", "set", "certs"), works},
		"sparse, sparse index":  {then(clone(), "sparse-checkout", "set", "--sparse-index", "certs"), works},
		"sparse, without blobs": {then(clone("--filter=blob:none", "--sparse"), "sparse-checkout", "set", "certs"), works},
		"shared": {func(t *testing.T) string {
			dir := filepath.Join(t.TempDir(), "c")
			git(t, "", "clone", "--quiet", "--shared", origin, dir)
			return dir
		}, works},
		"reference":              {clone("--reference", origin), works},
		"a linked work tree":     {worktree, works},
		"separate Git directory": {func(t *testing.T) string { return clone("--separate-git-dir", filepath.Join(t.TempDir(), "git"))(t) }, works},
		"detached":               {then(clone(), "checkout", "--quiet", "--detach"), works},
		"packed":                 {then(clone(), "gc", "--quiet"), works},
		"a split index":          {then(clone(), "update-index", "--split-index"), works},
		"shallow":                {clone("--depth=1"), "fetch-depth: 0"},
		"SHA-256":                {made("--object-format=sha256"), "SHA256 object names"},
		"reftable":               {then(clone(), "config", "extensions.refStorage", "reftable"), "its refs are stored as reftable"}, // git before 2.45 has no such format
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := c.make(t)
			var out, said strings.Builder
			a := &app{Console: console.Console{In: strings.NewReader(""), Out: &out, Err: &said, NoColor: true, Getenv: func(string) string { return "" }}}
			code := a.main([]string{"plan", "-no-color", "-offline", "-config-dir", filepath.Join(dir, "certs"), "-base", "HEAD~1"})
			if c.says == works {
				if code != console.ExitOK || !strings.Contains(out.String(), added) || strings.Contains(out.String(), "+ old") || strings.Contains(said.String(), "Git") {
					t.Errorf("exit code %d:\n%s\n%s", code, &out, &said)
				}
				return
			}
			if code != console.ExitError || !strings.Contains(strings.Join(strings.Fields(said.String()), " "), c.says) {
				t.Errorf("exit code %d, want %q:\n%s\n%s", code, c.says, &out, &said)
			}
		})
	}
	// The change modifies a file whose old version is missing from the partial clone.
	t.Run("without the blobs of the base", func(t *testing.T) {
		changed := t.TempDir()
		git(t, changed, "init", "--quiet", "--initial-branch=main")
		git(t, changed, "config", "uploadpack.allowFilter", "true")
		commit(t, changed, map[string]string{"certs/old.hcl": oldAndNew})
		commit(t, changed, map[string]string{"certs/old.hcl": oldAndNew + fresh})
		dir := filepath.Join(t.TempDir(), "clone")
		git(t, "", "clone", "--quiet", "--filter=blob:none", "file://"+changed, dir)
		var said strings.Builder
		a := &app{Console: console.Console{In: strings.NewReader(""), Out: io.Discard, Err: &said, NoColor: true, Getenv: func(string) string { return "" }}}
		if code := a.main([]string{"plan", "-offline", "-config-dir", filepath.Join(dir, "certs"), "-base", "HEAD~1"}); code != console.ExitError || !strings.Contains(said.String(), "a partial clone lacks the files: fetch them without a filter") {
			t.Errorf("exit code %d: %s", code, &said)
		}
	})
}

package configrepo

import (
	"os"
	"path/filepath"
	"testing"

	"certroll/cmd/certroll/settings"
	"certroll/examples/lab"
	"certroll/examples/lab/labtest"
)

// TestReadLeavesNothing: a command without a cache, as in CI, leaves no clone of the config repo in the temporary
// directory. A command with a cache releases it.
func TestReadLeavesNothing(t *testing.T) {
	server := labtest.GitHTTP(t)
	url, err := server.Create("certs")
	if err != nil {
		t.Fatal(err)
	}
	work := t.TempDir()
	if err := os.WriteFile(filepath.Join(work, "a.hcl"), []byte("locals { a = 1 }"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"init", "--quiet", "-b", "main"}, {"add", "a.hcl"}, {"commit", "--quiet", "-m", "first"},
		{"push", "--quiet", server.Path("certs"), "HEAD:refs/heads/main"},
	} {
		if _, err := lab.Git(t.Context(), work, args...); err != nil {
			t.Fatal(err)
		}
	}
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(server.Token), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, stateDir := range map[string]string{"no cache": "", "a cache": t.TempDir()} {
		t.Run(name, func(t *testing.T) {
			temporary := t.TempDir()
			t.Setenv("TMPDIR", temporary)
			s := settings.Usual()
			s.StateDir = stateDir
			s.Repo = &settings.Repo{URL: url, Ref: "main", AllowRewrites: true, Auth: &settings.GitAuth{Username: server.User, TokenFile: token}}
			for range 2 { // the second read needs the cache that the first one used
				rev, err := Read(t.Context(), s, "")
				if err != nil || len(rev.Files) != 1 {
					t.Fatalf("%v, %v", rev, err)
				}
				if _, err := revisionAt(t.Context(), s, "", rev.Commit); err != nil {
					t.Fatal(err)
				}
			}
			left, err := os.ReadDir(temporary)
			if err != nil || len(left) > 0 {
				t.Errorf("the temporary directory has %v (%v)", left, err)
			}
		})
	}
}

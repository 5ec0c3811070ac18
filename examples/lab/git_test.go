package lab_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"certroll/examples/lab"
	"certroll/examples/lab/labtest"
)

func TestPushAndShow(t *testing.T) {
	ctx := t.Context()
	repo, err := lab.CreateBare(t.TempDir(), "certs")
	if err != nil {
		t.Fatal(err)
	}
	pushTwiceAndShow(t, repo, repo)
	if err := lab.Remove(ctx, repo, "main", "Remove a", "a.hcl"); err != nil {
		t.Fatal(err)
	}
	if got, err := lab.Show(ctx, repo, "main", "a.hcl"); err == nil {
		t.Errorf("a removed file still shows %q", got)
	}
}

// TestPushZeros: git accepts the pack, for sizes around that of a piece, and keeps
// the files that were there.
func TestPushZeros(t *testing.T) {
	for _, size := range []int64{0, 15, 16, 1<<20 - 1, 1 << 20, 5<<20 + 7} {
		repo, err := lab.CreateBare(t.TempDir(), "certs")
		if err != nil {
			t.Fatal(err)
		}
		if err := lab.Push(t.Context(), repo, "main", map[string]string{"a.hcl": "a"}, "Begin"); err != nil {
			t.Fatal(err)
		}
		if err := lab.PushZeros(t.Context(), repo, "main", "sub/big.bin", size); err != nil {
			t.Fatal(err)
		}
		if _, err := lab.Git(t.Context(), repo, "fsck", "--strict"); err != nil {
			t.Errorf("%d zeros: %v", size, err)
		}
		big, err := lab.Git(t.Context(), repo, "cat-file", "blob", "main:sub/big.bin")
		if a, _ := lab.Show(t.Context(), repo, "main", "a.hcl"); err != nil || big != strings.Repeat("\x00", int(size)) || a != "a" {
			t.Errorf("%d zeros: there are %d bytes, and beside them %q: %v", size, len(big), a, err)
		}
	}
}

func TestGitHTTPWantsTheToken(t *testing.T) {
	g := labtest.GitHTTP(t)
	if _, err := g.Create("certs"); err != nil {
		t.Fatal(err)
	}
	if _, err := lab.Git(t.Context(), "", "ls-remote", g.URL("certs")); err == nil {
		t.Error("a stranger may read")
	}
	pushTwiceAndShow(t, g.AuthURL("certs"), g.Path("certs"))
}

// TestGitHTTPTakesLargePushes sends a pack so large that git sends no length.
func TestGitHTTPTakesLargePushes(t *testing.T) {
	g := labtest.GitHTTP(t)
	if _, err := g.Create("certs"); err != nil {
		t.Fatal(err)
	}
	large := incompressible(3 << 20)
	if err := lab.Push(t.Context(), g.AuthURL("certs"), "main", map[string]string{"large": large}, "Add much"); err != nil {
		t.Fatal(err)
	}
}

func TestGitSSHWantsTheKeyAndIsKnown(t *testing.T) {
	g := labtest.GitSSH(t)
	ctx := t.Context()
	url, err := g.Create("certs")
	if err != nil {
		t.Fatal(err)
	}
	if err := lab.Push(ctx, g.Path("certs"), "main", map[string]string{"a.hcl": "one"}, "Add a"); err != nil {
		t.Fatal(err)
	}
	read := func(ssh string) (string, error) {
		return lab.Git(ctx, "", "-c", "core.sshCommand="+ssh, "ls-remote", url)
	}
	if out, err := read(g.Command()); err != nil || !strings.Contains(out, "refs/heads/main") {
		t.Errorf("reading with the key: %q, %v", out, err)
	}
	if _, err := read(strings.Replace(g.Command(), g.KeyFile, "/dev/null", 1)); err == nil {
		t.Error("a stranger may read")
	}
	if _, err := read(strings.Replace(g.Command(), g.KnownHosts, "/dev/null", 1)); err == nil || !strings.Contains(err.Error(), "Host key verification failed") {
		t.Errorf("an unknown host: got %v", err)
	}
}

func pushTwiceAndShow(t *testing.T, url, path string) {
	t.Helper()
	ctx := t.Context()
	for _, content := range []string{"one", "two"} {
		if err := lab.Push(ctx, url, "main", map[string]string{"a.hcl": content, "dir/b.hcl": "b"}, "Set a to "+content); err != nil {
			t.Fatal(err)
		}
		hash, err := lab.Head(ctx, path, "main")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := lab.Show(ctx, path, hash, "a.hcl"); err != nil || got != content {
			t.Errorf("a.hcl at %s: %q, %v; want %q", hash, got, err, content)
		}
	}
	if out, err := lab.Git(ctx, path, "rev-list", "--count", "main"); err != nil || out != "2" {
		t.Errorf("commits on main: %q, %v; want 2", out, err)
	}
}

func incompressible(n int) string {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{}).Read(b)
	return string(b)
}

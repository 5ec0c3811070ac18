package setup

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"certroll/vault"
)

// TestStaysIn: init writes through a symbolic link that stays in the checkout, and never through one that leads out of
// it.
func TestStaysIn(t *testing.T) {
	root, out := t.TempDir(), t.TempDir()
	err := errors.Join(
		os.Mkdir(filepath.Join(root, "sub"), 0o755),
		os.Symlink("sub/b.hcl", filepath.Join(root, "in.hcl")),
		os.Symlink(filepath.Join(out, "b.hcl"), filepath.Join(root, "out.hcl")),
		os.Symlink(out, filepath.Join(root, "away")),
		os.Symlink("away/c.hcl", filepath.Join(root, "byway.hcl")),
		os.Symlink("loop.hcl", filepath.Join(root, "loop.hcl")),
		os.Symlink("sub", filepath.Join(root, "within")),
		os.Symlink("../away", filepath.Join(root, "sub", "chain")),
		os.Symlink("nowhere", filepath.Join(root, "dangling")),
		os.Symlink(filepath.Join(out, "nowhere", "b.hcl"), filepath.Join(root, "lost.hcl")),
	)
	if err != nil {
		t.Fatal(err)
	}
	for name, stays := range map[string]bool{
		"new.hcl": true, "in.hcl": true, "out.hcl": false, "byway.hcl": false, "loop.hcl": false,
		"sub/new.hcl": true, "new/deep/a.hcl": true, "within/a.hcl": true, "within/new/a.hcl": true,
		"away/a.hcl": false, "away/new/deep/a.hcl": false, "within/chain/new/a.hcl": false, "dangling/a.hcl": false,
		"lost.hcl": true, // the file replaces the link
	} {
		if err := staysIn(root, filepath.Join(root, name)); (err == nil) != stays {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := staysIn(filepath.Join(root, "new"), filepath.Join(root, "new", "a.hcl")); err != nil {
		t.Errorf("a directory that is made: %v", err)
	}
	if err := staysIn(filepath.Join(root, "within"), filepath.Join(root, "within", "a.hcl")); err != nil {
		t.Errorf("a directory that is a link: %v", err)
	}
	t.Chdir(root)
	if err := errors.Join(staysIn(".", "new.hcl"), staysIn("new", "new/a.hcl")); err != nil {
		t.Errorf("relative: %v", err)
	}
	if err := staysIn(".", "away/new/a.hcl"); err == nil {
		t.Error("relative, and led out")
	}
}

// TestSecretIDStays: init creates no secret id if a symbolic link, of the file or of a directory, would lead it out of the
// directory of certroll.hcl.
func TestSecretIDStays(t *testing.T) {
	root, out := t.TempDir(), t.TempDir()
	if err := errors.Join(os.Symlink(out, filepath.Join(root, "away")), os.Symlink(filepath.Join(out, "id"), filepath.Join(root, "id"))); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"id", "away/id"} {
		i := &initiation{file: filepath.Join(root, "certroll.hcl"), f: &initFlags{}}
		i.f.Vault.SecretIDFile = name
		// Without a client: the check comes before the call to Vault.
		if err := i.keepSecretID(t.Context(), nil, vault.Setup{}); err == nil || !strings.Contains(err.Error(), "leads out of "+root) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

package setup

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
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
	)
	if err != nil {
		t.Fatal(err)
	}
	for name, stays := range map[string]bool{"new.hcl": true, "in.hcl": true, "out.hcl": false, "byway.hcl": false, "loop.hcl": false} {
		if err := staysIn(root, filepath.Join(root, name)); (err == nil) != stays {
			t.Errorf("%s: %v", name, err)
		}
	}
}

package settings

import (
	"os"
	"path/filepath"
	"testing"
)

// TestFirstThere: without a file in the working directory, certroll finds the one that docs/install.md puts into /etc.
func TestFirstThere(t *testing.T) {
	t.Parallel()
	there := filepath.Join(t.TempDir(), "certroll.hcl")
	if err := os.WriteFile(there, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := firstThere("/nowhere/certroll.hcl", there); got != there {
		t.Errorf("got %s", got)
	}
	if got := firstThere("/nowhere/certroll.hcl", "/nowhere/else.hcl"); got != "/nowhere/certroll.hcl" {
		t.Errorf("got %s", got)
	}
}

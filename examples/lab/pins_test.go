package lab_test

import (
	"encoding/json"
	"os/exec"
	"testing"
)

// requirements returns the versions that a module's go.mod requires, by path.
func requirements(t *testing.T, dir string) map[string]string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "mod", "edit", "-json")
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("reading go.mod in %s: %v", dir, err)
	}
	var mod struct {
		Require []struct{ Path, Version string }
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	versions := map[string]string{}
	for _, r := range mod.Require {
		versions[r.Path] = r.Version
	}
	return versions
}

// TestEmbeddedIsPinned: modules that labvault and Pebble share with certroll have
// certroll's versions, so that Go compiles them once. The engine and Pebble have the
// versions that the real servers' module pins.
func TestEmbeddedIsPinned(t *testing.T) {
	own, product, tools := requirements(t, "embedded"), requirements(t, "../.."), requirements(t, "tools")
	shared := 0
	for path, version := range own {
		want, ok := product[path]
		if !ok {
			continue
		}
		shared++
		if version != want {
			t.Errorf("examples/lab/embedded has %s %s; certroll has %s: go get %s@%[3]s there, then go mod tidy", path, version, want, path)
		}
	}
	if shared < 20 {
		t.Errorf("the two modules share %d modules; is that all?", shared)
	}
	for _, path := range []string{"github.com/hashicorp/vault-plugin-secrets-kv", "github.com/hashicorp/vault/sdk", "github.com/letsencrypt/pebble/v2"} {
		if own[path] != tools[path] || own[path] == "" {
			t.Errorf("examples/lab/embedded has %s %s, examples/lab/tools has %s", path, own[path], tools[path])
		}
	}
}

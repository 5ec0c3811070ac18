package vault

import (
	"net/http"
	"testing"
	"time"
)

// TestLimitsOfOneSecret: the client learns the limits in a secret's own metadata from the metadata reads that it makes
// anyway, and drops them when the secret no longer has them.
func TestLimitsOfOneSecret(t *testing.T) {
	v := server(t)
	kv := NewKV(newClient(t, v, v.Token))
	look := func(path string) {
		t.Helper()
		if _, _, _, err := kv.ReadMetadata(t.Context(), "secret", path); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{"plain", "brief"} {
		if _, err := kv.Write(t.Context(), "secret", path, map[string]string{"x": "y"}, 0); err != nil {
			t.Fatal(err)
		}
		look(path)
	}
	if got := kv.Limits(); len(got) != 0 {
		t.Fatalf("nothing is set: %+v", got)
	}
	call(t, v, http.MethodPost, "secret/metadata/brief", map[string]any{"delete_version_after": "2h", "max_versions": 1, "cas_required": true}, nil)
	if _, err := kv.Write(t.Context(), "secret", "brief", map[string]string{"x": "z"}, 1); err != nil {
		t.Fatal(err)
	}
	look("brief")
	got := kv.Limits()
	if len(got) != 1 || got[0].Path != "brief" || got[0].Mount != "secret" || got[0].Versions != 1 || got[0].DeleteAfter != 2*time.Hour || !got[0].CASRequired {
		t.Fatalf("limits: %+v", got)
	}
	if left := time.Until(kv.DeletedAt("secret", "brief")); left < time.Hour || left > 2*time.Hour {
		t.Errorf("it goes in %s", left)
	}
	call(t, v, http.MethodPost, "secret/metadata/brief", map[string]any{"delete_version_after": "0s", "max_versions": 0, "cas_required": false}, nil)
	if _, err := kv.Write(t.Context(), "secret", "brief", map[string]string{"x": "z"}, 2); err != nil {
		t.Fatal(err)
	}
	look("brief")
	if got := kv.Limits(); len(got) != 0 {
		t.Errorf("all is taken off: %+v", got)
	}
	if err := kv.Delete(t.Context(), "secret", "plain"); err != nil {
		t.Fatal(err)
	}
	look("plain")
	if ago := time.Since(kv.DeletedAt("secret", "plain")); ago < -time.Minute || ago > time.Minute {
		t.Errorf("it was deleted %s ago", ago)
	}
}

package main

import (
	"net/http"
	"strings"
	"testing"
)

// TestMountThatKeepsTooLittle: what would destroy the key that is in use, or
// the certificate before its time, is said before anything is written.
func TestMountThatKeepsTooLittle(t *testing.T) {
	w := newLab(t).fresh(t, map[string]string{"certs.hcl": oneCertificate})
	w.settings("")
	if out := w.certroll(0, "plan"); strings.Contains(out, "Warning") {
		t.Errorf("a mount in order is warned of:\n%s", out)
	}
	config := map[string]any{"max_versions": 1, "delete_version_after": "48h"}
	if err := w.vault.API(t.Context(), http.MethodPost, "secret/config", config, nil); err != nil {
		t.Fatal(err)
	}
	out := strings.Join(strings.Fields(w.certroll(0, "plan")), " ")
	for _, want := range []string{
		"Warning: the mount secret/ keeps one version of a secret (max_versions = 1)", "vault write secret/config max_versions=10",
		"deletes each version after 48h0m0s (delete_version_after), the current one too", "Plan: 1 to issue.",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the plan lacks %q:\n%s", want, out)
		}
	}
}

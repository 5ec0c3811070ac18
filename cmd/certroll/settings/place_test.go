package settings

import (
	"fmt"
	"strings"
	"testing"

	"certroll/spec/hint"
)

// TestFamiliarSettings: a suggestion for another tool's setting is valid in that block of certroll.hcl.
func TestFamiliarSettings(t *testing.T) {
	for kind, around := range map[string]string{
		"": "%s", "repo": "repo {\nurl = \"r\"\n%s\n}", "ledger": "ledger {\n%s\n}", "repo.auth": "repo {\nurl = \"r\"\nauth {\n%s\n}\n}", "ledger.auth": "ledger {\nauth {\n%s\n}\n}",
		"settings.vault": "vault {\n%s\n}", "vault.auth": "vault {\nauth \"approle\" {\n%s\n}\n}", "log": "log {\n%s\n}", "notify": "notify \"x\" {\n%s\n}", "trust": "trust {\n%s\n}", "verify": "verify {\n%s\n}",
	} {
		writes := hint.FamiliarIn(kind)
		if len(writes) == 0 {
			t.Errorf("nothing is suggested in %q", kind)
		}
		for name, write := range writes {
			in := around
			if kind == "repo" && strings.HasPrefix(write, "url") {
				in = "repo {\n%s\n}" // the repo block already has a url
			}
			_, _, diags := Parse("certroll.hcl", []byte(fmt.Sprintf(in, write)))
			for _, d := range diags {
				if strings.HasPrefix(d.Summary, "Unsupported") || strings.HasPrefix(d.Summary, "Unknown") {
					t.Errorf("%q, %s: %s is suggested: %s", kind, name, write, d.Detail)
				}
			}
		}
	}
}

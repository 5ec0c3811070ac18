package hint

import (
	"strings"
	"testing"
)

// TestFamiliarOnce: no name occurs twice for one kind of block.
func TestFamiliarOnce(t *testing.T) {
	for kind, aliases := range familiar {
		seen := map[string]bool{}
		for _, a := range aliases {
			for _, name := range strings.Fields(a.names) {
				if seen[name] {
					t.Errorf("%s: %s stands there twice", kind, name)
				}
				seen[name] = true
			}
		}
	}
}

// TestFamiliarNames: suggestions cover the names that users know from other tools, in those tools' spelling.
func TestFamiliarNames(t *testing.T) {
	for name, want := range map[string]string{
		"auto_renew": `auto_renew is renewal { auto = true } here.`, "key_type": `key_type is key { algorithm = "rsa" } here.`,
		"sans": `sans is domains = ["www.example.com"] here.`, "renewBefore": `renewBefore is renewal { threshold_days = 30 } here.`,
		"secret_name": `secret_name is vault { path = "tls/www" } here.`, "zork": "",
	} {
		if got := Familiar("certificate", name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if got := Familiar("issuer", "agree_tos"); got != "agree_tos is terms_of_service_agreed = true here." {
		t.Error(got)
	}
}

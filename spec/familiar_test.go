package spec

import (
	"fmt"
	"strings"
	"testing"
)

// around says where the blocks of a kind stand in a config repo; certroll.hcl has its
// own test.
var around = map[string]string{
	"config repo": "%s", "certificate": "certificate \"x\" {\n%s\n}", "defaults": "defaults {\n%s\n}",
	"key": "certificate \"x\" {\nkey {\n%s\n}\n}", "renewal": "certificate \"x\" {\nrenewal {\n%s\n}\n}", "vault": "certificate \"x\" {\nvault {\n%s\n}\n}",
	"issuer": "issuer \"x\" {\n%s\n}", "eab": "issuer \"x\" {\neab {\n%s\n}\n}",
	"dns": "dns \"x\" {\nprovider = \"cloudflare\"\n%s\n}", "propagation": "dns \"x\" {\nprovider = \"cloudflare\"\npropagation {\n%s\n}\n}",
	"policy": "policy \"x\" {\n%s\n}",
}

// TestFamiliar: every suggestion is something to write in that block, no name is one
// that the block has itself, and none is listed twice.
func TestFamiliar(t *testing.T) {
	for kind, where := range around {
		if len(familiar[kind]) == 0 {
			t.Errorf("nothing is suggested in %q", kind)
		}
		seen := map[string]bool{}
		for _, a := range familiar[kind] {
			if said := unknownIn(t, kind, fmt.Sprintf(where, a.write)); said != "" {
				t.Errorf("%s: %s is suggested, and decoding it says %s", kind, a.write, said)
			}
			for _, name := range strings.Fields(a.names) {
				if seen[name] {
					t.Errorf("%s: %s stands there twice", kind, name)
				}
				seen[name] = true
			}
		}
	}
}

func unknownIn(t *testing.T, kind, src string) string {
	trust, files := strict, []File{{"x.hcl", []byte(src)}}
	if kind == "policy" {
		trust.Files, files = files, nil
	}
	_, diags := Decode(t.Context(), files, trust)
	for _, d := range diags {
		if strings.HasPrefix(d.Summary, "Unknown setting") || strings.HasPrefix(d.Summary, "Unknown block") || d.Summary == "Wrong type" && !strings.Contains(d.Detail, "refer") || d.Summary == "Not a default" {
			return d.Detail
		}
	}
	return ""
}

// TestFamiliarNames: the names that people know are answered in their own spelling.
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

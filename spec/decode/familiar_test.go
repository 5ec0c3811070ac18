package decode

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"certroll/spec"
	"certroll/spec/hint"
)

// around is the config repo code in which each kind of block can occur. certroll.hcl has its own test.
var around = map[string]string{
	"config repo": "%s", "certificate": "certificate \"x\" {\n%s\n}", "defaults": "defaults {\n%s\n}",
	"key": "certificate \"x\" {\nkey {\n%s\n}\n}", "renewal": "certificate \"x\" {\nrenewal {\n%s\n}\n}", "vault": "certificate \"x\" {\nvault {\n%s\n}\n}",
	"issuer": "issuer \"x\" {\n%s\n}", "eab": "issuer \"x\" {\neab {\n%s\n}\n}",
	"dns": "dns \"x\" {\nprovider = \"cloudflare\"\n%s\n}", "propagation": "dns \"x\" {\nprovider = \"cloudflare\"\npropagation {\n%s\n}\n}",
	"policy": "policy \"x\" {\n%s\n}",
}

// TestFamiliar: every suggestion is valid in its block, and no listed name is a setting of the block itself.
func TestFamiliar(t *testing.T) {
	for kind, where := range around {
		all := hint.FamiliarIn(kind)
		if len(all) == 0 {
			t.Errorf("nothing is suggested in %q", kind)
		}
		for _, write := range slices.Compact(slices.Sorted(maps.Values(all))) {
			if said := unknownIn(t, kind, fmt.Sprintf(where, write)); said != "" {
				t.Errorf("%s: %s is suggested, and decoding it says %s", kind, write, said)
			}
		}
	}
}

func unknownIn(t *testing.T, kind, src string) string {
	trust, files := strict, []spec.File{{Path: "x.hcl", Bytes: []byte(src)}}
	if kind == "policy" {
		trust.Files, files = files, nil
	}
	_, diags := Files(t.Context(), files, trust)
	for _, d := range diags {
		if strings.HasPrefix(d.Summary, "Unknown setting") || strings.HasPrefix(d.Summary, "Unknown block") || d.Summary == "Wrong type" && !strings.Contains(d.Detail, "refer") || d.Summary == "Not a default" {
			return d.Detail
		}
	}
	return ""
}

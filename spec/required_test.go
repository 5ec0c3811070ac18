package spec

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestRequiredOfAll: every provider that may be used has variables that are asked
// for, all of them its own, and such a block is taken.
func TestRequiredOfAll(t *testing.T) {
	t.Parallel()
	for _, code := range Providers() {
		names := Required(code)
		if len(names) == 0 {
			t.Errorf("%s: nothing is asked for", code)
		}
		var b strings.Builder
		for _, name := range names {
			if !slices.Contains(Variables(code), name) {
				t.Errorf("%s has no variable %s", code, name)
			}
			fmt.Fprintf(&b, "    %s = env(\"CERTROLL_DNS_%s\")\n", name, name)
		}
		_, diags := Decode(t.Context(), nil, Trust{Known: true, Files: []File{{Path: "certroll.hcl", Bytes: []byte(fmt.Sprintf("dns \"x\" {\n  provider = %q\n  credentials = {\n%s  }\n}\n", code, b.String()))}}})
		if diags.HasErrors() {
			t.Errorf("%s: %v", code, diags)
		}
	}
}

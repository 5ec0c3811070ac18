package decode

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"certroll/spec"
	"certroll/spec/providers"
)

// TestRequiredOfAll: every permitted provider has required variables, all of them its own, and a block with them
// decodes.
func TestRequiredOfAll(t *testing.T) {
	t.Parallel()
	for _, code := range providers.Codes() {
		names := providers.Required(code)
		if len(names) == 0 {
			t.Errorf("%s: nothing is asked for", code)
		}
		var b strings.Builder
		for _, name := range names {
			if !slices.Contains(providers.Variables(code), name) {
				t.Errorf("%s has no variable %s", code, name)
			}
			fmt.Fprintf(&b, "    %s = env(\"CERTROLL_DNS_%s\")\n", name, name)
		}
		_, diags := Files(t.Context(), nil, spec.Trust{Known: true, Files: []spec.File{{Path: "certroll.hcl", Bytes: []byte(fmt.Sprintf("dns \"x\" {\n  provider = %q\n  credentials = {\n%s  }\n}\n", code, b.String()))}}})
		if diags.HasErrors() {
			t.Errorf("%s: %v", code, diags)
		}
	}
}

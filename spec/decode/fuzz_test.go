package decode

import (
	"testing"

	"certroll/spec"
	"certroll/spec/spectest"
)

// FuzzDecode: every input gives a spec or an error in bounded time.
func FuzzDecode(f *testing.F) {
	spectest.Seeds(f)
	f.Fuzz(func(t *testing.T, src []byte) {
		defer spectest.Soon(src)()
		s, diags := Files(t.Context(), []spec.File{{Path: "a.hcl", Bytes: src}, {Path: "b.hcl", Bytes: []byte(world)}}, strict)
		if diags.HasErrors() != (s == nil) {
			t.Fatalf("errors: %v, spec: %v", diags.HasErrors(), s != nil)
		}
		for _, d := range diags {
			if d.Summary == "" || d.Detail == "" {
				t.Errorf("a diagnostic without words: %+v", d)
			}
		}
		if s == nil {
			return
		}
		for _, c := range s.Certificates {
			if len(c.Domains) == 0 || s.Issuers[c.Issuer] == nil || len(c.DNS) == 0 || s.DNS[c.DNS[0]] == nil || spec.BadSecretPath(c.Vault.Mount+"/"+c.Vault.Path) != "" {
				t.Errorf("a certificate that is not whole: %+v", c)
			}
		}
	})
}

// FuzzFormat: formatting a valid file gives a valid file, and formatting that again changes nothing.
func FuzzFormat(f *testing.F) {
	spectest.Seeds(f)
	f.Fuzz(func(t *testing.T, src []byte) {
		defer spectest.Soon(src)()
		once, diags := spec.Format(src, "a.hcl")
		if diags.HasErrors() {
			return
		}
		if _, diags = spec.Format(once, "a.hcl"); diags.HasErrors() {
			t.Fatalf("formatting broke it: %s\n%q\n%q", spectest.Text(diags), src, once)
		}
	})
}

package decode

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"certroll/spec"
)

// seeds are the files of the goldens.
func seeds(f *testing.F) {
	archives, err := filepath.Glob("testdata/mistakes/*.txtar")
	if err != nil || len(archives) == 0 {
		f.Fatal("no goldens", err)
	}
	for _, name := range archives {
		archive, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range archive.Files {
			if file.Name != "want" {
				f.Add(file.Data)
			}
		}
	}
	f.Add([]byte(world))
	f.Add([]byte(`
certificate "c" {
  domains = ["www.example.com"]
  issuer  = issuer.le
  dns     = dns.main
  vault {
    fields = { a = join("", [for n in cert.names : "${n}${cert.private_key}"]), b = try(jks(env("CERTROLL_DNS_A"), cert.serial), cert.fullchain) }
  }
}`))
}

// FuzzDecode: whatever the bytes, there is either a spec or an error, soon.
func FuzzDecode(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, src []byte) {
		defer soon(src)()
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

// FuzzFormat: what parses is formatted to what parses, and formatting it again
// changes nothing.
func FuzzFormat(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, src []byte) {
		defer soon(src)()
		once, diags := spec.Format(src, "a.hcl")
		if diags.HasErrors() {
			return
		}
		if _, diags = spec.Format(once, "a.hcl"); diags.HasErrors() {
			t.Fatalf("formatting broke it: %s\n%q\n%q", told(diags), src, once)
		}
	})
}

// soon ends the test where an input takes far longer than any may.
func soon(src []byte) (done func() bool) {
	return time.AfterFunc(20*time.Second, func() { panic(fmt.Sprintf("still busy after 20 s with %q", src)) }).Stop
}

package spec

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
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
		s, diags := Decode(t.Context(), []File{{"a.hcl", src}, {"b.hcl", []byte(world)}}, strict)
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
			if len(c.Domains) == 0 || s.Issuers[c.Issuer] == nil || len(c.DNS) == 0 || s.DNS[c.DNS[0]] == nil || badSecretPath(c.Vault.Mount+"/"+c.Vault.Path) != "" {
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
		once, diags := Format(src, "a.hcl")
		if diags.HasErrors() {
			return
		}
		if _, diags = Format(once, "a.hcl"); diags.HasErrors() {
			t.Fatalf("formatting broke it: %s\n%q\n%q", told(diags), src, once)
		}
	})
}

// FuzzDomain: a name that is taken goes to the CA as plain ASCII.
func FuzzDomain(f *testing.F) {
	for _, s := range []string{"example.com", "*.example.com", "bücher.example.com", "192.0.2.1", "::ffff:192.0.2.1", "a_b.example.com", "ﬀ.example.com", "xn--bcher-kva.example"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		d, why := parseDomain(typed)
		if why != "" {
			return
		}
		again, why := parseDomain(d.ASCII)
		if why != "" || again.ASCII != d.ASCII || again.Wildcard != d.Wildcard || again.IP != d.IP {
			t.Errorf("%q became %q, which became %q %s", typed, d.ASCII, again.ASCII, why)
		}
		for _, r := range d.ASCII {
			if r <= ' ' || r > '~' || r >= 'A' && r <= 'Z' {
				t.Errorf("%q became %q", typed, d.ASCII)
			}
		}
	})
}

// soon ends the test where an input takes far longer than any may.
func soon(src []byte) (done func() bool) {
	return time.AfterFunc(20*time.Second, func() { panic(fmt.Sprintf("still busy after 20 s with %q", src)) }).Stop
}

// Package spectest contains fixtures for the tests of spec's packages: a small config
// repo, its trust settings, and the files of the decoder's goldens.
package spectest

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/rogpeppe/go-internal/txtar"

	"certroll/spec"
)

// World declares an issuer and two DNS accounts for certificates to refer to.
const World = `
issuer "le" {
  directory                = "letsencrypt"
  terms_of_service_agreed  = true
}
dns "main" {
  provider    = "cloudflare"
  credentials = { CF_DNS_API_TOKEN = vault("secret/dns/cf", "token") }
}
dns "backup" {
  provider    = "cloudflare"
  credentials = { CF_DNS_API_TOKEN = env("CERTROLL_DNS_CF") }
}
`

// Strict returns the trust settings of most tests.
func Strict() spec.Trust {
	return spec.Trust{Known: true, Vault: []string{"secret/dns/"}, Own: []string{"CERTROLL_DNS_OWN"}, Webroots: []string{"/var/www"}, Endpoints: Allowing("acme.example.com:443", "127.0.0.0/8:*", "192.0.2.53:53", "[2001:db8::]/32:*")}
}

// Allowing returns rules that allow these hosts.
func Allowing(hosts ...string) spec.ProbeRules {
	rules, why := spec.ParseProbeRules(hosts)
	if why != "" {
		panic(why)
	}
	return rules
}

// Text formats each diagnostic as place, summary and detail.
func Text(diags hcl.Diagnostics) string {
	var b strings.Builder
	for _, d := range diags {
		if d.Severity == hcl.DiagWarning {
			b.WriteString("warning: ")
		}
		if d.Subject != nil {
			fmt.Fprintf(&b, "%s:%d:%d-%d: ", d.Subject.Filename, d.Subject.Start.Line, d.Subject.Start.Column, d.Subject.End.Column)
		}
		fmt.Fprintf(&b, "%s\n\t%s\n", d.Summary, d.Detail)
	}
	return b.String()
}

// Seeds adds the decoder's golden files to a fuzz corpus. The path works only in packages next to decode.
func Seeds(f *testing.F) {
	archives, err := filepath.Glob("../decode/testdata/mistakes/*.txtar")
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
	f.Add([]byte(World))
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

// Soon panics if an input takes far longer than the limit for any input. Call done at the end.
func Soon(src []byte) (done func() bool) {
	return time.AfterFunc(20*time.Second, func() { panic(fmt.Sprintf("still busy after 20 s with %q", src)) }).Stop
}

package decode

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"

	"certroll/spec"
	"certroll/spec/block"
)

// publicCerts decodes blocks together with issuers of public and private CAs.
func publicCerts(t *testing.T, blocks string) (*spec.Spec, hcl.Diagnostics) {
	t.Helper()
	const around = `
issuer "le" {
  directory               = "letsencrypt"
  profile                 = "shortlived"
  terms_of_service_agreed = true
}
issuer "staging" {
  directory               = "letsencrypt-staging"
  terms_of_service_agreed = true
}
issuer "ssl" {
  directory               = "sslcom-rsa"
  terms_of_service_agreed = true
  eab {
    key_id = "example-key-id"
    hmac   = env("CERTROLL_DNS_HMAC")
  }
}
issuer "own" {
  directory               = "https://acme.example.com/dir"
  terms_of_service_agreed = true
}
dns "d" {
  provider    = "rfc2136"
  credentials = { RFC2136_NAMESERVER = "192.0.2.53:53" }
}
dns "web" {
  challenge = "http-01"
}
`
	trust := strict
	return Files(context.Background(), []spec.File{{Path: "a.hcl", Bytes: []byte(around + blocks)}}, trust)
}

// TestNamesThatPublicCAsRefuse: such names give a warning, and only with public CAs.
func TestNamesThatPublicCAsRefuse(t *testing.T) {
	t.Parallel()
	for names, want := range map[string][]string{
		`"www.shop.dev", "*.shop.dev"`:                             {`Redundant name: issuer.le refuses www.shop.dev: *.shop.dev of the same certificate covers it`},
		`"*.Shop.dev", "WWW.shop.dev", "a.shop.dev"`:               {`Redundant name: issuer.le refuses WWW.shop.dev: `, `refuses a.shop.dev: `},
		`"shop.dev", "*.shop.dev", "*.a.shop.dev", "x.b.shop.dev"`: nil,
		`"localhost"`:                       {"refuses localhost: it is the machine itself (RFC 6761"},
		`"api.localhost"`:                   {"refuses api.localhost: it is the machine itself"},
		`"intranet"`:                        {"refuses intranet: a name of one label"},
		`"host.internal"`:                   {"refuses host.internal: .internal is for private networks"},
		`"printer.local"`:                   {"RFC 6762"},
		`"*.lab.test"`:                      {"refuses *.lab.test: .test is for tests"},
		`"a.invalid"`:                       {"RFC 6761"},
		`"a.example"`:                       {"RFC 6761"},
		`"a.alt"`:                           {"RFC 9476"},
		`"abc.onion"`:                       {"RFC 9799"},
		`"nas.home.arpa"`:                   {"RFC 8375"},
		`"1.2.0.192.in-addr.arpa"`:          {"reverse name"},
		`"host.corp"`:                       {".corp is no top-level domain"},
		`"10.0.0.1"`:                        {"refuses 10.0.0.1: the address is private or reserved"},
		`"127.0.0.1"`:                       {"private or reserved"},
		`"100.64.0.1"`:                      {"private or reserved"},
		`"203.0.113.7"`:                     {"private or reserved"},
		`"fd00::1"`:                         {"private or reserved"},
		`"::ffff:10.1.2.3"`:                 {"refuses ::ffff:10.1.2.3: "},
		`"8.8.8.8", "2606:4700:4700::1111"`: nil,
		`"a.github.io", "example.com", "bücher.example.org", "test.shop.dev", "internal.shop.dev", "local.de"`: nil,
	} {
		for _, issuer := range []string{"le", "own"} {
			s, diags := publicCerts(t, fmt.Sprintf("certificate \"x\" {\n  domains = [%s]\n  issuer  = issuer.%s\n  dns     = [dns.d, dns.web]\n}\n", names, issuer))
			if s == nil {
				t.Errorf("%s: %v", names, diags)
				continue
			}
			if issuer == "own" {
				want = nil
			}
			if len(diags) != len(want) {
				t.Errorf("%s of issuer.%s: %v", names, issuer, diags)
				continue
			}
			for i, part := range want {
				if d := diags[i]; d.Severity != hcl.DiagWarning || d.Subject == nil || !strings.Contains(d.Summary+": "+d.Detail, part) {
					t.Errorf("%s: %v, want %q", names, d, part)
				}
			}
		}
	}
}

// TestNamesThatFallbacksRefuse: one warning covers the names that any issuer in the list refuses, and does not repeat
// an error.
func TestNamesThatFallbacksRefuse(t *testing.T) {
	t.Parallel()
	_, diags := publicCerts(t, "certificate \"x\" {\n  domains = [\"host.internal\"]\n  issuer  = [issuer.own, issuer.le, issuer.ssl]\n  dns     = dns.d\n}\n")
	if len(diags) != 1 || !strings.Contains(diags[0].Detail, "issuer.le and issuer.ssl refuse host.internal") {
		t.Errorf("%v", diags)
	}
	_, diags = publicCerts(t, "certificate \"x\" {\n  domains = [\"10.0.0.1\"]\n  issuer  = issuer.staging\n  dns     = dns.web\n}\n")
	if len(diags) != 1 || diags[0].Summary != "Address not taken" {
		t.Errorf("%v", diags)
	}
}

// TestManyWarningsRejectNothing: thousands of equal warnings neither reject the revision nor hide an error.
func TestManyWarningsRejectNothing(t *testing.T) {
	t.Parallel()
	var blocks strings.Builder
	for i := range block.MaxDiagnostics + 100 {
		fmt.Fprintf(&blocks, "certificate \"c%d\" {\n  domains = [\"h%d.internal\"]\n  issuer  = issuer.le\n  dns     = dns.d\n  key { rotation = \"never\" }\n}\n", i, i)
	}
	s, diags := publicCerts(t, blocks.String())
	if s == nil || len(s.Certificates) != block.MaxDiagnostics+100 {
		t.Fatalf("the revision is rejected: %.500s", diags.Error())
	}
	count := map[string]int{}
	for _, d := range diags {
		count[d.Summary]++
	}
	if count["Reserved name"]+count["Key kept for ever"] > block.MaxDiagnostics || count["Too many warnings"] != 1 {
		t.Errorf("warnings: %v", count)
	}
	s, diags = publicCerts(t, blocks.String()+"certificate \"wrong\" {\n  domains = [\"a b\"]\n  issuer  = issuer.le\n  dns     = dns.d\n}\n")
	if s != nil || !strings.Contains(fmt.Sprint(diags.Errs()), "Invalid domain") {
		t.Errorf("the mistake is hidden by the warnings")
	}
}

// TestWarningsOfForEach: the instances of a for_each share one warning.
func TestWarningsOfForEach(t *testing.T) {
	t.Parallel()
	s, diags := publicCerts(t, "certificate \"x\" {\n  for_each = toset([for i in range(200) : \"h${i}\"])\n  domains  = [\"${each.key}.internal\"]\n  issuer   = issuer.le\n  dns      = dns.d\n}\n")
	if s == nil || len(diags) != 1 || !strings.Contains(diags[0].Detail, ", and more: ") {
		t.Errorf("%.2000v", diags)
	}
}

package decode

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"

	"certroll/spec"
	"certroll/spec/spectest"
)

// shopWith decodes a config repo with one certificate, the given fields and one more block.
func shopWith(trust spec.Trust, fields, block string) (*spec.Spec, hcl.Diagnostics) {
	return Files(context.Background(), []spec.File{{Path: "world.hcl", Bytes: []byte(world)}, {Path: "teams/shop/c.hcl", Bytes: fmt.Appendf(nil, `
%s
certificate "shop" {
  domains = ["shop.example.com"]
  issuer  = issuer.le
  dns     = dns.main
  vault { fields = %s }
}`, block, fields)}}, trust)
}

// brokenRules returns the names of the new rules that reject or hold something.
func brokenRules(diags hcl.Diagnostics) []string {
	var list []string
	for _, d := range diags {
		if rule, ok := d.Extra.(spec.NewRule); ok {
			list = append(list, rule.Name)
		}
	}
	return list
}

// TestNoCertificateIsReached: however wide trust.vault is, a vault() reference in the config repo cannot reach the key
// of a certificate.
func TestNoCertificateIsReached(t *testing.T) {
	wide := strict
	wide.Vault = []string{"secret/"}
	wide.Endpoints = spectest.Allowing("acme.example.com:443")
	eab := func(keyID, hmac string) string {
		return fmt.Sprintf(`issuer "e" {
  directory               = "https://acme.example.com/dir"
  terms_of_service_agreed = true
  eab {
    key_id = %s
    hmac   = %s
  }
}`, keyID, hmac)
	}
	dns := `dns "x" {
  provider    = "cloudflare"
  credentials = { CF_DNS_API_TOKEN = vault("secret/tls/shop", "private_key") }
}`
	for name, tc := range map[string]struct {
		fields, block string
		rules         []string
	}{
		"hmac":                {`"pem"`, eab(`"kid"`, `vault("secret/tls/shop", "private_key")`), []string{"vault.target"}},
		"key id":              {`"pem"`, eab(`vault("secret/tls/shop", "private_key")`, `vault("secret/x", "h")`), []string{"eab.key_id", "vault.target"}},
		"key id of a secret":  {`"pem"`, eab(`vault("secret/dns/x", "id")`, `vault("secret/x", "h")`), []string{"eab.key_id"}},
		"key id of a token":   {`"pem"`, eab(`env("CERTROLL_DNS_TOKEN")`, `vault("secret/x", "h")`), []string{"eab.key_id"}},
		"DNS":                 {`"pem"`, dns, []string{"vault.target"}},
		"keystore password":   {`{ p = pkcs12(vault("secret/tls/shop", "private_key")) }`, "", []string{"vault.target"}},
		"secret of their own": {`{ p = pkcs12(vault("secret/shop/p12", "password")) }`, eab(`"kid"`, `vault("secret/x", "h")`), nil},
	} {
		s, diags := shopWith(wide, tc.fields, tc.block)
		if got := brokenRules(diags); !slices.Equal(slices.Sorted(slices.Values(got)), tc.rules) || diags.HasErrors() != (tc.rules != nil) || (s == nil) != (tc.rules != nil) {
			t.Errorf("%s: rules %v, want %v\n%s", name, got, tc.rules, spectest.Text(diags))
		}
		wide.InForce = true
		if s, diags = shopWith(wide, tc.fields, tc.block); s == nil {
			t.Errorf("%s, in force:\n%s", name, spectest.Text(diags))
		}
		wide.InForce = false
	}
	// Without certroll.hcl, as on a laptop, it is rejected as well.
	if _, diags := shopWith(spec.Trust{}, `"pem"`, dns); !slices.Contains(brokenRules(diags), "vault.target") {
		t.Errorf("without certroll.hcl:\n%s", spectest.Text(diags))
	}
}

// TestPrefixEndsAtASegment: a prefix that ends in a slash allows only the paths below it.
func TestPrefixEndsAtASegment(t *testing.T) {
	trust := strict
	trust.Vault = []string{"secret/dns/"}
	_, diags := shopWith(trust, `{ p = pkcs12(vault("secret/dns", "p")) }`, "")
	if !slices.Equal(brokenRules(diags), []string{"trust.vault"}) {
		t.Errorf("trust.vault:\n%s", spectest.Text(diags))
	}
	trust.Vault = []string{"secret/dns"}
	if _, diags = shopWith(trust, `{ p = pkcs12(vault("secret/dns", "p")) }`, ""); diags.HasErrors() {
		t.Errorf("trust.vault without a slash:\n%s", spectest.Text(diags))
	}
	policy := func(vault string) spec.Trust {
		trust := strict
		trust.Files = []spec.File{{Path: "certroll.hcl", Bytes: fmt.Appendf(nil, `
policy "all" {
  files  = ["world.hcl"]
  blocks = ["issuer", "dns"]
}
policy "shop" {
  files = ["teams/shop/**"]
  vault = [%q]
}`, vault)}}
		return trust
	}
	for vault, allowed := range map[string]bool{"secret/tls/shop/": false, "secret/tls/shop": true, "secret/tls/": true, "secret/tls": true} {
		_, diags := shopWith(policy(vault), `"pem"`, "")
		if diags.HasErrors() == allowed {
			t.Errorf("vault = [%q]:\n%s", vault, spectest.Text(diags))
		}
	}
	s, diags := shopWith(policy("secret/tls/sho"), `"pem"`, "")
	if s != nil || len(brokenRules(diags)) != 0 {
		t.Errorf("beside a segment:\n%s", spectest.Text(diags))
	}
	in := policy("secret/tls/shop/")
	in.InForce = true
	if s, diags = shopWith(in, `"pem"`, ""); s == nil {
		t.Fatal(spectest.Text(diags))
	}
	if held := s.Certificate("shop").Held; len(held) != 1 || !strings.Contains(held[0].Rule.Allow.Lines(), `["secret/tls/shop/", "secret/tls/shop"]`) {
		t.Errorf("held: %+v", held)
	}
}

// TestPolicyOfPasswords checks which references may provide a keystore's password.
func TestPolicyOfPasswords(t *testing.T) {
	trust := func(passwords string) spec.Trust {
		trust := strict
		trust.Vault = []string{"secret/dns/", "secret/shop/"}
		trust.Files = []spec.File{{Path: "certroll.hcl", Bytes: fmt.Appendf(nil, `
policy "all" {
  files  = ["world.hcl"]
  blocks = ["issuer", "dns"]
}
policy "shop" {
  files     = ["teams/shop/**"]
  %s
}`, passwords)}}
		return trust
	}
	for name, tc := range map[string]struct{ passwords, fields, want string }{
		"left out":          {``, `{ p = jks(vault("secret/dns/cf", "token")) }`, ""},
		"theirs":            {`passwords = ["secret/shop/", "env:CERTROLL_DNS_SHOP_"]`, `{ p = jks(vault("secret/shop/p", "p")), q = jks(env("CERTROLL_DNS_SHOP_P")) }`, ""},
		"a DNS credential":  {`passwords = ["secret/shop/"]`, `{ p = jks(vault("secret/dns/cf", "token")) }`, `does not allow the keystore password vault("secret/dns/cf", "token")`},
		"a variable":        {`passwords = ["secret/shop/", "env:CERTROLL_DNS_SHOP_"]`, `{ p = pkcs12(env("CERTROLL_DNS_CF")) }`, `does not allow the keystore password env("CERTROLL_DNS_CF")`},
		"beside a segment":  {`passwords = ["secret/sho"]`, `{ p = jks(vault("secret/shop/p", "p")) }`, "does not allow the keystore password"},
		"none":              {`passwords = []`, `{ p = jks(vault("secret/shop/p", "p")) }`, "it allows passwords from none"},
		"a slip of the pen": {`passwords = ["env:a b"]`, `"pem"`, "the beginning of a variable's name"},
	} {
		_, diags := shopWith(trust(tc.passwords), tc.fields, "")
		if diags.HasErrors() != (tc.want != "") || !strings.Contains(spectest.Text(diags), tc.want) {
			t.Errorf("%s:\n%s", name, spectest.Text(diags))
		}
	}
}

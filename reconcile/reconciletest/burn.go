package reconciletest

import (
	"context"
	"fmt"
	"testing"

	"certroll/spec"
	"certroll/spec/decode"
)

// FieldsLike decodes a map of fields that validate takes.
func FieldsLike(t testing.TB, fields string) spec.Fields {
	t.Helper()
	desired, diags := decode.Files(context.Background(), []spec.File{{Path: "a.hcl", Bytes: fmt.Appendf(nil, `
issuer "ca" {
  directory               = "letsencrypt"
  terms_of_service_agreed = true
}
dns "lab" {
  provider    = "cloudflare"
  credentials = { CLOUDFLARE_DNS_API_TOKEN = env("CERTROLL_DNS_TOKEN") }
}
certificate "api" {
  domains = ["api.example.com"]
  issuer  = issuer.ca
  dns     = dns.lab
  vault { fields = %s }
}`, fields)}}, spec.Trust{Known: true})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return desired.Certificates[0].Vault.Fields
}

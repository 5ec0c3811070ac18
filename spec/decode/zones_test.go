package decode

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"certroll/spec"
)

// TestZones: each name needs one account that can prove it. An account need not fit every name.
func TestZones(t *testing.T) {
	const accounts = `
issuer "ca" {
  directory               = "https://ca.example.com/dir"
  terms_of_service_agreed = true
}
dns "com" {
  provider     = "rfc2136"
  follow_cname = false
  zones        = ["Example.com."]
  credentials  = { RFC2136_NAMESERVER = "192.0.2.53:53" }
}
dns "net" {
  provider     = "rfc2136"
  follow_cname = false
  zones        = ["example.net"]
  credentials  = { RFC2136_NAMESERVER = "192.0.2.53:53" }
}
dns "web" {
  challenge = "http-01"
}
`
	for domains, want := range map[string]string{
		`["www.example.com", "*.example.net"] | dns.com, dns.net`: "",
		`["*.example.com", "192.0.2.1"] | dns.com, dns.web`:       "",
		`["example.org"] | dns.com, dns.net`:                      "No account for the name",
		`["notexample.com"] | dns.com`:                            "No account for the name",
		`["*.example.org"] | dns.web`:                             "Challenge cannot prove the name",
		`["192.0.2.1"] | dns.com`:                                 "Challenge cannot prove the name",
	} {
		names, dns, _ := strings.Cut(domains, " | ")
		text := accounts + fmt.Sprintf("certificate \"x\" {\n  domains = %s\n  issuer = issuer.ca\n  dns = [%s]\n}\n", names, dns)
		desired, diags := Files(context.Background(), []spec.File{{Path: "a.hcl", Bytes: []byte(text)}}, spec.Trust{})
		switch {
		case want == "" && diags.HasErrors():
			t.Errorf("%s: %v", domains, diags)
		case want == "" && (len(desired.DNS["com"].Zones) != 1 || desired.DNS["com"].Zones[0] != "example.com"):
			t.Errorf("zones: %v", desired.DNS["com"].Zones)
		case want != "" && !strings.Contains(diags.Error(), want):
			t.Errorf("%s: %v, want %q", domains, diags, want)
		}
	}
}

package acme

import (
	"context"
	"errors"
	"strings"
	"testing"

	"certroll/reconcile/acme/problem"
	"certroll/reconcile/ledger"
	"certroll/spec"
)

// TestCredentialsThatCannotWork checks that certroll rejects a credential that ends in
// a line break or blank before it contacts a provider or CA, for every kind of
// reference.
func TestCredentialsThatCannotWork(t *testing.T) {
	needsLinux(t)
	references := map[string]spec.Value{
		"the environment variable ONE":       {Source: spec.FromEnv, Name: "ONE"},
		"the field token of kv/dns in Vault": {Source: spec.FromVault, Path: "kv/dns", Field: "token"},
		"the file /run/one":                  {Source: spec.FromFile, Path: "/run/one"},
	}
	cases := []struct{ provider, name, value, want string }{
		{"cloudflare", "CF_DNS_API_TOKEN", "tok3n-of-dns\n", "ends in a line break"},
		{"cloudflare", "CF_DNS_API_TOKEN", "tok3n-of-dns ", "ends in a blank"},
		{"cloudflare", "CF_DNS_API_TOKEN", "tok3n-of-dns", ""},
		{"rfc2136", "RFC2136_TSIG_SECRET", "dG9rM24tb2YtZG5z ", "ends in a blank"},
		{"rfc2136", "RFC2136_TSIG_SECRET", "dG9rM24tb2YtZG5z\n", ""}, // this variable's decoder ignores the line break
		{"gcloud", "GCE_SERVICE_ACCOUNT", "{\"type\": \"service_account\"}\n", ""},
	}
	for _, c := range cases {
		for where, v := range references {
			client := New(newMemory(), Options{Child: command(t), Resolve: fixed(c.value)})
			p, err := client.providers.Open(t.Context(), &spec.DNSAccount{
				Name: "cf", Reach: spec.Reach{Anything: true, Ambient: true}, Challenge: spec.DNS01, Provider: c.provider,
				Credentials: map[string]spec.Value{c.name: v},
			})
			if err == nil {
				p.Release()
			}
			malformed(t, err, c.value, c.name, where, c.want)
			_ = client.Close()
		}
	}
}

// TestBindingThatCannotWork checks the same for external account bindings.
func TestBindingThatCannotWork(t *testing.T) {
	issuer := &spec.Issuer{Name: "ca", Directory: "https://ca.example.com/dir", EAB: &spec.EAB{
		KeyID: spec.Value{Source: spec.FromEnv, Name: "KID"}, HMAC: spec.Value{Source: spec.FromEnv, Name: "HMAC"}}}
	client := New(newMemory(), Options{Resolve: fixed("kid-of-ours\n")})
	defer func() { _ = client.Close() }()
	_, err := client.accounts.Session(t.Context(), issuer)
	malformed(t, err, "kid-of-ours\n", "the eab key id", "the environment variable KID", "ends in a line break")
}

func malformed(t *testing.T, err error, value, name, where, want string) {
	t.Helper()
	switch {
	case want == "":
		if malformed := (*problem.MalformedError)(nil); errors.As(err, &malformed) || err != nil && strings.Contains(err.Error(), where) {
			t.Errorf("%s = %q: %v", name, value, err) // errors about other missing settings do not matter here
		}
	case err == nil || !problem.HasClass(err, ledger.ClassConfig) || !strings.Contains(err.Error(), name+": "+where+" "+want) || strings.Contains(err.Error(), strings.TrimSpace(value)):
		t.Errorf("%s = %q: %v", name, value, err)
	}
}

func fixed(value string) func(context.Context, spec.Value) (string, error) {
	return func(context.Context, spec.Value) (string, error) { return value, nil }
}

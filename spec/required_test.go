package spec

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestRequired: what is asked for, by providers that need one token, several keys,
// the address of a server, and one that lego's constructor says nothing of.
func TestRequired(t *testing.T) {
	t.Parallel()
	for code, want := range map[string][]string{
		"cloudflare":   {"CF_DNS_API_TOKEN"},
		"digitalocean": {"DO_AUTH_TOKEN"},
		"ovh":          {"OVH_ENDPOINT", "OVH_APPLICATION_KEY", "OVH_APPLICATION_SECRET", "OVH_CONSUMER_KEY"},
		"rfc2136":      {"RFC2136_NAMESERVER", "RFC2136_TSIG_KEY", "RFC2136_TSIG_ALGORITHM", "RFC2136_TSIG_SECRET"},
		"dnsupdate":    {"RFC2136_NAMESERVER", "RFC2136_TSIG_KEY", "RFC2136_TSIG_ALGORITHM", "RFC2136_TSIG_SECRET"},
		"zonomi":       {"ZONOMI_API_KEY"},
		"no-such":      nil,
	} {
		if got := Required(code); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", code, got, want)
		}
	}
}

// TestRequiredOfAll: every provider that may be used has variables that are asked
// for, all of them its own, and such a block is taken.
func TestRequiredOfAll(t *testing.T) {
	t.Parallel()
	for _, code := range Providers() {
		names := Required(code)
		if len(names) == 0 {
			t.Errorf("%s: nothing is asked for", code)
		}
		var b strings.Builder
		for _, name := range names {
			if !slices.Contains(Variables(code), name) {
				t.Errorf("%s has no variable %s", code, name)
			}
			fmt.Fprintf(&b, "    %s = env(\"CERTROLL_DNS_%s\")\n", name, name)
		}
		_, diags := Decode(t.Context(), nil, Trust{Known: true, Files: []File{{Path: "certroll.hcl", Bytes: []byte(fmt.Sprintf("dns \"x\" {\n  provider = %q\n  credentials = {\n%s  }\n}\n", code, b.String()))}}})
		if diags.HasErrors() {
			t.Errorf("%s: %v", code, diags)
		}
	}
}

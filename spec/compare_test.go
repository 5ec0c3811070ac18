package spec

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCompare(t *testing.T) {
	const issuer = `
issuer "le" {
  directory               = "letsencrypt"
  terms_of_service_agreed = true
%s
}`
	const account = `
dns "main" {
  provider    = "%s"
  credentials = { %s }
%s
}`
	cloudflare := fmt.Sprintf(account, "cloudflare", `CF_DNS_API_TOKEN = vault("secret/dns/cf", "token")`, "")
	tests := map[string]struct {
		before, after string
		want          []string
	}{
		"nothing": {cloudflare, "# moved\n" + cloudflare, nil},
		"where a credential is sent": {
			fmt.Sprintf(account, "pdns", `PDNS_API_KEY = vault("secret/dns/pdns", "key"), PDNS_API_URL = "https://dns.example.com"`, ""),
			fmt.Sprintf(account, "pdns", `PDNS_API_KEY = vault("secret/dns/pdns", "key"), PDNS_API_URL = "https://dns.example.net"`, ""),
			[]string{`dns main changed`, `credentials.PDNS_API_URL: https://dns.example.com -> https://dns.example.net`},
		},
		"which credential": {
			cloudflare, fmt.Sprintf(account, "cloudflare", `CF_DNS_API_TOKEN = env("CERTROLL_DNS_CF")`, ""),
			[]string{`dns main changed`, `credentials.CF_DNS_API_TOKEN: vault("secret/dns/cf", "token") -> env("CERTROLL_DNS_CF")`},
		},
		"how it is seen": {
			cloudflare, fmt.Sprintf(account, "cloudflare", `CF_DNS_API_TOKEN = vault("secret/dns/cf", "token")`,
				"follow_cname = false\npropagation {\n wait = \"30s\"\n nameservers = [\"192.0.2.53\"]\n}"),
			[]string{`dns main changed`, `follow_cname: true -> false`, `propagation.nameservers:  -> 192.0.2.53:53`, `propagation.wait:  -> 30s`},
		},
		"an account added": {
			"", "dns \"web\" {\n challenge = \"http-01\"\n}",
			[]string{`dns web added`, `challenge:  -> http-01`, `follow_cname:  -> true`, `listen:  -> :80`, `parallel:  -> 1`},
		},
		"issuer first": {
			fmt.Sprintf(issuer, ""),
			fmt.Sprintf(issuer, `  profile = "tlsserver"
  limits { orders = "10/1h" }`) + "\ndns \"web\" {\n challenge = \"http-01\"\n listen = \":8080\"\n}",
			[]string{`issuer le changed`, `limits.orders: LE -> 10/1h`, `profile:  -> tlsserver`, `dns web added`,
				`challenge:  -> http-01`, `follow_cname:  -> true`, `listen:  -> :8080`, `parallel:  -> 1`},
		},
		"removed": {
			fmt.Sprintf(issuer, `  eab {
    key_id = "kid"
    hmac   = vault("secret/dns/eab", "hmac")
  }`), "",
			[]string{`issuer le removed`, `directory: https://acme-v02.api.letsencrypt.org/directory -> `, `eab.hmac: vault("secret/dns/eab", "hmac") -> `,
				`eab.key_id: kid -> `, `limits.consecutive_failures: 1152 -> `, `limits.exact_set: LE -> `, `limits.failed_validations: LE -> `,
				`limits.orders: LE -> `, `limits.per_domain: LE -> `, `terms_of_service_agreed: true -> `},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			before, after := decodeGood(t, map[string]string{"a.hcl": test.before}), decodeGood(t, map[string]string{"b.hcl": test.after})
			var got []string
			for _, c := range Compare(before, after) {
				got = append(got, fmt.Sprintf("%s %s %s", c.Block, c.Name, c.Difference))
				if file := map[Difference]string{Removed: "a.hcl"}[c.Difference]; c.Range.Filename != cmpOr(file, "b.hcl") {
					t.Errorf("%s is placed in %s", c.Name, c.Range.Filename)
				}
				for _, f := range c.Fields {
					got = append(got, fmt.Sprintf("%s: %s -> %s", f.Field, knownLimit(f.Old), knownLimit(f.New)))
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if changes := Compare(nil, decodeGood(t, map[string]string{"w.hcl": world})); len(changes) != 3 {
		t.Errorf("all is new where there was nothing: %+v", changes)
	}
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// knownLimit stands for the limits that Let's Encrypt is known for.
func knownLimit(text string) string {
	for _, l := range []string{"300/3h", "50/7d", "5/7d", "5/1h"} {
		if text == l {
			return "LE"
		}
	}
	return text
}

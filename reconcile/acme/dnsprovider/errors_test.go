package dnsprovider

import (
	"strings"
	"testing"
	"unicode/utf8"

	"certroll/reconcile/ledger"
	"certroll/spec/redact"
)

func TestProviderClass(t *testing.T) {
	tests := map[string]struct {
		text string
		want ledger.Class
	}{
		"TSIG key unknown":     {"dnsupdate: failed to insert: DNS update failed: server ns.example.com:53 replied NOTAUTH for INSERT example.com.", ledger.ClassDNSUnauthorized},
		"not in the policy":    {"dnsupdate: failed to insert: DNS update failed: server ns.example.com:53 replied REFUSED for INSERT example.com.", ledger.ClassDNSUnauthorized},
		"TSIG rcode":           {"DNS update failed: dns: bad authentication: BADKEY", ledger.ClassDNSUnauthorized},
		"TSIG reply unsigned":  {"dnsupdate: failed to insert: DNS update failed: dns: bad signature", ledger.ClassDNSUnauthorized},
		"clock":                {"DNS update failed: dns: bad time", ledger.ClassDNSUnauthorized},
		"HTTP 401":             {"cloudflare: unexpected status code: [status code: 401] body: Unauthorized", ledger.ClassDNSUnauthorized},
		"HTTP 403":             {"hetzner: could not find zone: status code 403", ledger.ClassDNSUnauthorized},
		"cloudflare's token":   {"cloudflare: failed to find zone example.com.: 9109: Invalid access token", ledger.ClassDNSUnauthorized},
		"route53's policy":     {"route53: AccessDenied: User is not authorized to perform: route53:ChangeResourceRecordSets", ledger.ClassDNSUnauthorized},
		"nobody listens":       {"dnsupdate: failed to insert: dial udp 192.0.2.1:53: connect: connection refused", ledger.ClassDNSUnavailable},
		"UDP refused":          {"read udp 127.0.0.1:4->127.0.0.1:5: read: connection refused", ledger.ClassDNSUnavailable},
		"time-out":             {"could not find zone: DNS call error: read udp 192.0.2.2:1->192.0.2.1:53: i/o timeout", ledger.ClassDNSUnavailable},
		"context's":            {"Post \"https://api.example.com\": context deadline exceeded", ledger.ClassDNSUnavailable},
		"host unknown":         {"dial tcp: lookup api.example.com: no such host", ledger.ClassDNSUnavailable},
		"HTTP 503":             {"unexpected status code: [status code: 503]", ledger.ClassDNSUnavailable},
		"HTTP 429":             {"unexpected status code: 429 Too Many Requests", ledger.ClassDNSUnavailable},
		"SERVFAIL":             {"DNS update failed: server ns replied SERVFAIL for INSERT example.com.", ledger.ClassDNSUnavailable},
		"variable missing":     {"cloudflare: some credentials information are missing: CLOUDFLARE_EMAIL,CLOUDFLARE_API_KEY", ledger.ClassConfig},
		"no such provider":     {"unrecognized DNS provider: foo", ledger.ClassConfig},
		"key is no base64":     {"dnsupdate: failed to insert: illegal base64 data at input byte 3", ledger.ClassConfig},
		"zone not served":      {"dnsupdate: could not find zone: [fqdn=_acme-challenge.a.shop.exmaple.test.] could not find the start of authority for '_acme-challenge.a.shop.exmaple.test.' [question='_acme-challenge.a.shop.exmaple.test. IN  SOA', code=REFUSED]", classZone},
		"domain not there":     {"could not find zone for domain \"a.test\": could not find the start of authority for 'a.test.' [question='test. IN  SOA', code=NXDOMAIN]", classZone},
		"servers of the zone":  {"could not find the start of authority for 'a.test.' [question='a.test. IN  SOA', code=SERVFAIL]", ledger.ClassDNSUnavailable},
		"zone not at provider": {"hetzner: could not find zone for domain \"x.example.com\": zone not found", classZone},
		"cloudflare's zone":    {"cloudflare: failed to find zone example.com.: zone could not be found", classZone},
		"route53's zone":       {"route53: NoSuchHostedZone: no hosted zone found", classZone},
		"words we do not know": {"the zone is in an unexpected mood", ledger.ClassDNSUnavailable},
	}
	for name, test := range tests {
		if got := providerClass(test.text); got != test.want {
			t.Errorf("%s: got %s, want %s", name, got, test.want)
		}
	}
	for _, p := range providerErrors {
		if providerAdvice[p.class] == "" {
			t.Errorf("class %s has no advice", p.class)
		}
	}
}

func TestProviderErrorWithoutQueries(t *testing.T) {
	e := providerError("writing", `Get "https://user:pw@api.example.com/update?key=abcdef&x=1": status code 401`)
	if got := e.Error(); strings.Contains(got, "abcdef") || strings.Contains(got, "pw@") || !strings.Contains(got, "https://api.example.com/update?"+redact.Struck) {
		t.Errorf("got %q", got)
	}
}

func TestLongProviderErrorsAreCut(t *testing.T) {
	text := providerError("writing", strings.Repeat("é", 2000)).Error()
	if len(text) > 2200 || !utf8.ValidString(text) || !strings.Contains(text, "é…") {
		t.Errorf("got %d bytes that end %q", len(text), text[len(text)-80:])
	}
}

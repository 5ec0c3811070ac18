package acme

import (
	"strings"
	"testing"
)

func TestProviderClass(t *testing.T) {
	tests := map[string]struct{ text, want string }{
		"TSIG key unknown":     {"dnsupdate: failed to insert: DNS update failed: server ns.example.com:53 replied NOTAUTH for INSERT example.com.", ClassDNSUnauthorized},
		"not in the policy":    {"dnsupdate: failed to insert: DNS update failed: server ns.example.com:53 replied REFUSED for INSERT example.com.", ClassDNSUnauthorized},
		"TSIG rcode":           {"DNS update failed: dns: bad authentication: BADKEY", ClassDNSUnauthorized},
		"TSIG reply unsigned":  {"dnsupdate: failed to insert: DNS update failed: dns: bad signature", ClassDNSUnauthorized},
		"clock":                {"DNS update failed: dns: bad time", ClassDNSUnauthorized},
		"HTTP 401":             {"cloudflare: unexpected status code: [status code: 401] body: Unauthorized", ClassDNSUnauthorized},
		"HTTP 403":             {"hetzner: could not find zone: status code 403", ClassDNSUnauthorized},
		"cloudflare's token":   {"cloudflare: failed to find zone example.com.: 9109: Invalid access token", ClassDNSUnauthorized},
		"route53's policy":     {"route53: AccessDenied: User is not authorized to perform: route53:ChangeResourceRecordSets", ClassDNSUnauthorized},
		"nobody listens":       {"dnsupdate: failed to insert: dial udp 192.0.2.1:53: connect: connection refused", ClassDNSUnavailable},
		"UDP refused":          {"read udp 127.0.0.1:4->127.0.0.1:5: read: connection refused", ClassDNSUnavailable},
		"time-out":             {"could not find zone: DNS call error: read udp 192.0.2.2:1->192.0.2.1:53: i/o timeout", ClassDNSUnavailable},
		"context's":            {"Post \"https://api.example.com\": context deadline exceeded", ClassDNSUnavailable},
		"host unknown":         {"dial tcp: lookup api.example.com: no such host", ClassDNSUnavailable},
		"HTTP 503":             {"unexpected status code: [status code: 503]", ClassDNSUnavailable},
		"HTTP 429":             {"unexpected status code: 429 Too Many Requests", ClassDNSUnavailable},
		"SERVFAIL":             {"DNS update failed: server ns replied SERVFAIL for INSERT example.com.", ClassDNSUnavailable},
		"variable missing":     {"cloudflare: some credentials information are missing: CLOUDFLARE_EMAIL,CLOUDFLARE_API_KEY", ClassConfig},
		"no such provider":     {"unrecognized DNS provider: foo", ClassConfig},
		"key is no base64":     {"dnsupdate: failed to insert: illegal base64 data at input byte 3", ClassConfig},
		"words we do not know": {"the zone is in an unexpected mood", ClassDNSUnavailable},
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
	if got := e.Error(); strings.Contains(got, "abcdef") || strings.Contains(got, "pw@") || !strings.Contains(got, "https://api.example.com/update?"+struck) {
		t.Errorf("got %q", got)
	}
}

func TestStrikeTokens(t *testing.T) {
	token := "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJmYWtlIn0.c2lnbmF0dXJl"
	tests := map[string]struct{ text, want string }{
		"in a query":  {"see https://ca.example.com/unpause?x=1&jwt=" + token + ".", "see https://ca.example.com/unpause?x=1&jwt=" + struck},
		"by itself":   {"token " + token + " is bad", "token " + struck + " is bad"},
		"in a path":   {"https://ca.example.com/u/" + token, "https://ca.example.com/u/" + struck},
		"none at all": {"too many certificates (5) for example.com", "too many certificates (5) for example.com"},
	}
	for name, test := range tests {
		if got := strikeTokens(test.text); got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}

func TestStriker(t *testing.T) {
	s := newStriker([]string{`pa"ss/word+1`, "abcdef", "abcdefgh", "xy", "-----BEGIN KEY-----\nZmFrZWZha2VmYWtlZmFrZQ==\n-----END KEY-----\n"})
	tests := map[string]struct{ text, want string }{
		"plain":           {`login pa"ss/word+1 failed`, "login " + struck + " failed"},
		"in a query":      {"?p=pa%22ss%2Fword%2B1&", "?p=" + struck + "&"},
		"in JSON":         {`{"p":"pa\"ss/word+1"}`, `{"p":"` + struck + `"}`},
		"longest first":   {"abcdefgh", struck},
		"too short":       {"xyz", "xyz"},
		"line of a key":   {"bad line ZmFrZWZha2VmYWtlZmFrZQ==", "bad line " + struck},
		"nothing to hide": {"all is well", "all is well"},
	}
	for name, test := range tests {
		if got := s.strike(test.text); got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}

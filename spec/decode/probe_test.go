package decode

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"certroll/spec"
	"certroll/spec/spectest"
)

func probeRules(t *testing.T, allow ...string) spec.ProbeRules {
	t.Helper()
	rules, why := spec.ParseProbeRules(allow)
	if why != "" {
		t.Fatal(why)
	}
	return rules
}

// TestProbes checks how probe endpoints are parsed, and which server name a probe requests.
func TestProbes(t *testing.T) {
	trust := strict
	trust.Probe = probeRules(t, "10.0.0.0/8:*", "lb.example.net:443", "*.mail.example.net:25")
	files := []spec.File{{Path: "a.hcl", Bytes: []byte(world + probes)}}
	s, diags := Files(t.Context(), files, trust)
	if got := spectest.Text(diags); strings.Count(got, "Endpoint not allowed") != 2 || s != nil {
		t.Fatalf("of an address that nobody allows and two labels below a wildcard it says:\n%s", got)
	}
	trust.Probe = append(trust.Probe, probeRules(t, "**.api.example.com:5432", "[2001:db8::]/32:143")...)
	s, diags = Files(t.Context(), files, trust)
	if len(diags) != 0 {
		t.Fatal(spectest.Text(diags))
	}
	want := []spec.Probe{
		{Protocol: spec.PlainTLS, Host: "v1.api.example.com", Port: 443, ServerName: "v1.api.example.com"},
		{Protocol: spec.PlainTLS, Host: "xn--bcher-kva.example.com", Port: 8443, ServerName: "xn--bcher-kva.example.com"},
		{Protocol: spec.PlainTLS, Host: "10.1.2.3", Port: 443, ServerName: "xn--bcher-kva.example.com"},
		{Protocol: spec.PlainTLS, Host: "lb.example.net", Port: 443, ServerName: "xn--bcher-kva.example.com"},
		{Protocol: spec.SMTP, Host: "mx.mail.example.net", Port: 25, ServerName: "xn--bcher-kva.example.com"},
		{Protocol: spec.IMAP, Host: "2001:db8::1", Port: 143, ServerName: "xn--bcher-kva.example.com"},
		{Protocol: spec.Postgres, Host: "a.b.api.example.com", Port: 5432, ServerName: "xn--bcher-kva.example.com"},
	}
	c := s.Certificate("api")
	if diff := cmp.Diff(want, c.Probes); diff != "" {
		t.Error(diff)
	}
	if got := strings.Join(c.Endpoints(), " "); !strings.HasSuffix(got, "smtp://mx.mail.example.net:25 imap://[2001:db8::1]:143 postgres://a.b.api.example.com:5432") {
		t.Errorf("the endpoints are %s", got)
	}
	if got := s.Certificate("each.b").Endpoints(); len(got) != 1 || got[0] != "b.example.com:445" {
		t.Errorf("of for_each they are %v", got)
	}
	address := s.Certificate("address").Probes
	if address[0].ServerName != "" || address[1].ServerName != "" {
		t.Errorf("for addresses alone the names %q and %q are asked for", address[0].ServerName, address[1].ServerName)
	}
}

const probes = `
dns "web" {
  challenge = "http-01"
}
issuer "private" {
  directory               = "https://acme.example.com/directory"
  terms_of_service_agreed = true
}
certificate "api" {
  domains = ["*.api.example.com", "bücher.example.com"]
  issuer  = issuer.le
  dns     = dns.main
  probe   = ["v1.api.example.com:443", "BÜCHER.example.com:8443", "10.1.2.3:443", "lb.example.net:443", "smtp://mx.mail.example.net:25",
             "imap://[2001:db8::1]:143", "postgres://a.b.api.example.com:5432"]
}
certificate "each" {
  for_each = { a = 1, b = 2 }
  domains  = ["${each.key}.example.com"]
  issuer   = issuer.le
  dns      = dns.main
  probe    = ["${each.key}.example.com:${443 + each.value}"]
}
certificate "address" {
  domains = ["192.0.2.7"]
  issuer  = issuer.private
  dns     = dns.web
  probe   = ["192.0.2.7:443", "10.0.0.1:443"]
}
`

// TestProbeUnknownTrust: without certroll.hcl no endpoint is rejected.
func TestProbeUnknownTrust(t *testing.T) {
	s, diags := Files(t.Context(), []spec.File{{Path: "a.hcl", Bytes: []byte(world + probes)}}, spec.Trust{})
	if s == nil || strings.Contains(spectest.Text(diags), "Endpoint") {
		t.Errorf("it says:\n%s", spectest.Text(diags))
	}
}

// TestDials checks which addresses a probe may connect to.
func TestDials(t *testing.T) {
	rules := probeRules(t, "10.1.0.0/16:443", "127.0.0.1:*", "fd00::/8:8443", "**:*", "64.0.0.0/4:*")
	for _, public := range []string{"192.0.2.1:1", "198.51.100.7:22", "[2001:db8::1]:443", "8.8.8.8:53", "172.15.0.1:443", "[::ffff:8.8.8.8]:443"} {
		if !(spec.ProbeRules{}).Dials(netip.MustParseAddrPort(public)) {
			t.Errorf("%s is public and not connected to", public)
		}
	}
	for at, allowed := range map[string]bool{
		"10.1.2.3:443": true, "10.1.2.3:22": false, "10.2.0.1:443": false, "127.0.0.1:22": true, "[::ffff:127.0.0.1]:1": true, "127.0.0.2:22": false,
		"192.168.1.1:443": false, "172.31.255.255:443": false, "169.254.169.254:80": false, "100.64.0.1:443": false, "0.0.0.0:443": false, "0.1.2.3:443": false,
		"[::1]:443": false, "[::]:443": false, "[fe80::1]:443": false, "[fe80::1%eth0]:443": false, "[fd00::1]:8443": true, "[fd00::1]:443": false,
		"[fd00:ec2::254]:80": false, "224.0.0.1:443": false, "[ff02::1]:443": false, "255.255.255.255:443": false, "240.0.0.1:443": false,
		"[64:ff9b::a01:203]:443": false, "[2002:a01:203::1]:443": false, "[::ffff:10.2.0.1]:443": false, "168.63.129.16:443": false, "[fec0::1]:443": false,
	} {
		if got := rules.Dials(netip.MustParseAddrPort(at)); got != allowed {
			t.Errorf("%s may be connected to: %v, want %v", at, got, allowed)
		}
	}
}

// TestBadProbeRules: an invalid rule gives an error that names the mistake.
func TestBadProbeRules(t *testing.T) {
	for rule, why := range map[string]string{
		"example.com": "the port is missing", "example.com:": "the port is a number", "example.com:0": "the port is a number", "example.com:70000": "the port is a number",
		"10.0.0.1/8:*": "beyond the prefix", "a.*.com:443": "stars stand at the beginning", ":443": "the name is empty",
	} {
		if _, got := spec.ParseProbeRules([]string{"fine.example.com:443", rule}); !strings.Contains(got, why) || !strings.Contains(got, rule) {
			t.Errorf("of %q it says %q, want %q", rule, got, why)
		}
	}
}

package decode

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/hashicorp/hcl/v2"
	"github.com/rogpeppe/go-internal/txtar"

	"certroll/spec"
	"certroll/spec/spectest"
)

var update = flag.Bool("update", false, "write the goldens anew")

// strict is the trust setting of most tests.
var strict = spectest.Strict()

// TestMistakes compares the diagnostics of every file in testdata/mistakes with the expected ones, to the column.
func TestMistakes(t *testing.T) {
	archives, err := filepath.Glob("testdata/mistakes/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatal("no goldens", err)
	}
	for _, name := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) { golden(t, name) })
	}
}

func golden(t *testing.T, name string) {
	archive, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	trust := strict
	var files []spec.File
	want, at := "", -1
	for i, f := range archive.Files {
		switch f.Name {
		case "want":
			want, at = string(f.Data), i
		case "certroll.hcl":
			trust.Files = []spec.File{{Path: f.Name, Bytes: f.Data}}
		default:
			files = append(files, spec.File{Path: f.Name, Bytes: f.Data})
		}
	}
	s, diags := Files(t.Context(), files, trust)
	if diags.HasErrors() != (s == nil) {
		t.Errorf("spec is nil: %v, errors: %v", s == nil, diags.HasErrors())
	}
	got := spectest.Text(diags)
	if *update {
		if at < 0 {
			archive.Files = append(archive.Files, txtar.File{Name: "want"})
			at = len(archive.Files) - 1
		}
		archive.Files[at].Data = []byte(got)
		if err := os.WriteFile(name, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what is said (-want +got):\n%s", diff)
	}
}

const world = spectest.World

// decodeGood decodes files without mistakes.
func decodeGood(t *testing.T, files map[string]string) *spec.Spec {
	t.Helper()
	var list []spec.File
	for name, text := range files {
		list = append(list, spec.File{Path: name, Bytes: []byte(text)})
	}
	s, diags := Files(t.Context(), list, strict)
	if len(diags) != 0 {
		t.Fatal(spectest.Text(diags))
	}
	return s
}

func TestIssuerAndAccount(t *testing.T) {
	s := decodeGood(t, map[string]string{"a.hcl": `
locals { ns = "192.0.2.53" }
issuer "private" {
  directory               = "https://acme.example.com/directory"
  email                   = "mailto:certs@example.com"
  terms_of_service_agreed = true
  profile                 = "tlsserver"
  preferred_chain         = "Example Root"
  eab {
    key_id = "kid-1"
    hmac   = vault("secret/dns/eab", "hmac")
  }
}
dns "lab" {
  provider     = "rfc2136"
  credentials  = {
    RFC2136_NAMESERVER  = "127.0.0.1:5353"
    RFC2136_TSIG_KEY    = "certroll."
    RFC2136_TSIG_SECRET = env("CERTROLL_DNS_TSIG")
    RFC2136_TTL         = 1
  }
  follow_cname = false
  parallel     = 4
  propagation {
    timeout     = "2m"
    interval    = "500ms"
    wait        = "30s"
    nameservers = [local.ns, "[2001:db8::53]:5353", "2001:db8::54"]
  }
}
dns "web" {
  challenge = "http-01"
  webroot   = "/var/www/acme"
}
dns "alpn" {
  challenge = "tls-alpn-01"
}`})
	ignore := cmpopts.IgnoreTypes(hcl.Range{}, spec.Reach{}) // TestEndpoints checks them
	wantIssuer := &spec.Issuer{Name: "private", Directory: "https://acme.example.com/directory", Email: "certs@example.com", AgreeTOS: true,
		Profile: "tlsserver", PreferredChain: "Example Root",
		EAB: &spec.EAB{KeyID: spec.Value{Source: spec.Literal, Text: "kid-1"}, HMAC: spec.Value{Source: spec.FromVault, Path: "secret/dns/eab", Field: "hmac"}}}
	if diff := cmp.Diff(wantIssuer, s.Issuers["private"], ignore); diff != "" {
		t.Errorf("issuer (-want +got):\n%s", diff)
	}
	wantDNS := map[string]*spec.DNSAccount{
		"lab": {Name: "lab", Challenge: spec.DNS01, Provider: "rfc2136", Parallel: 4,
			Credentials: map[string]spec.Value{
				"RFC2136_NAMESERVER":  {Source: spec.Literal, Text: "127.0.0.1:5353"},
				"RFC2136_TSIG_KEY":    {Source: spec.Literal, Text: "certroll."},
				"RFC2136_TSIG_SECRET": {Source: spec.FromEnv, Name: "CERTROLL_DNS_TSIG"},
				"RFC2136_TTL":         {Source: spec.Literal, Text: "1"},
			},
			Propagation: spec.Propagation{Timeout: 2 * time.Minute, Interval: 500 * time.Millisecond, Wait: 30 * time.Second,
				Nameservers: []string{"192.0.2.53:53", "[2001:db8::53]:5353", "[2001:db8::54]:53"}}},
		"web":  {Name: "web", Challenge: spec.HTTP01, FollowCNAME: true, Parallel: 1, Webroot: "/var/www/acme"},
		"alpn": {Name: "alpn", Challenge: spec.TLSALPN01, FollowCNAME: true, Parallel: 1, Listen: ":443"},
	}
	if diff := cmp.Diff(wantDNS, s.DNS, ignore, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("accounts (-want +got):\n%s", diff)
	}
}

func TestCertificate(t *testing.T) {
	tests := map[string]struct {
		hcl  string
		want spec.Certificate
	}{
		"what is left out": {`
certificate "api" {
  domains = ["api.example.com"]
  issuer  = issuer.le
  dns     = dns.main
}`, spec.Certificate{Name: "api", Domains: []spec.Domain{{Typed: "api.example.com", ASCII: "api.example.com"}}, Issuer: "le", DNS: []string{"main"},
			Key: spec.Key{Rotation: spec.RotateAlways}, Renewal: spec.Renewal{Auto: true, ThresholdDays: 30, FallbackAfter: 72 * time.Hour}, Vault: spec.Target{Mount: "secret", Path: "tls/api"}, OnRemove: spec.Keep}},
		"everything said": {`
certificate "api" {
  domains = ["Bücher.example.com", "*.example.org"]
  issuer  = issuer.le
  dns     = [dns.main, dns.backup]
  key {
    algorithm = "rsa"
    size      = 3072
    rotation  = "never"
    max_age   = "180d"
  }
  renewal {
    auto           = false
    reason         = "moves to another team"
    until          = "2026-12-31"
    threshold_days = 7
    fallback_after = "2d"
  }
  rotate = "2026-11-23 suspected compromise"
  vault {
    mount  = "kv"
    path   = "web/api"
    fields = "pem"
    previous = "delete"
  }
  labels    = { team = "payments", tier = 1 }
  on_remove = "revoke"
}`, spec.Certificate{Name: "api", Domains: []spec.Domain{{Typed: "Bücher.example.com", ASCII: "xn--bcher-kva.example.com"}, {Typed: "*.example.org", ASCII: "*.example.org", Wildcard: true}},
			Issuer: "le", DNS: []string{"main", "backup"}, Key: spec.Key{Algorithm: spec.RSA, Size: 3072, Rotation: spec.RotateNever, MaxAge: 180 * spec.Day},
			Renewal: spec.Renewal{ThresholdDays: 7, ThresholdStated: true, Reason: "moves to another team", Until: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC), FallbackAfter: 48 * time.Hour},
			Rotate:  "2026-11-23 suspected compromise", Vault: spec.Target{Mount: "kv", Path: "web/api", Previous: spec.Delete}, Labels: map[string]string{"team": "payments", "tier": "1"}, OnRemove: spec.Revoke}},
		"the next key": {`
certificate "api" {
  domains = ["api.example.com"]
  issuer  = issuer.le
  dns     = dns.main
  key { next = true }
}`, spec.Certificate{Name: "api", Domains: []spec.Domain{{Typed: "api.example.com", ASCII: "api.example.com"}}, Issuer: "le", DNS: []string{"main"},
			Key: spec.Key{Rotation: spec.RotateAlways, Next: true}, Renewal: spec.Renewal{Auto: true, ThresholdDays: 30, FallbackAfter: 72 * time.Hour}, Vault: spec.Target{Mount: "secret", Path: "tls/api"}, OnRemove: spec.Keep}},
		"a curve says ecdsa": {`
certificate "api" {
  domains = ["api.example.com"]
  issuer  = true ? issuer.le : null
  dns     = dns.main
  key { curve = "P-384" }
}`, spec.Certificate{Name: "api", Domains: []spec.Domain{{Typed: "api.example.com", ASCII: "api.example.com"}}, Issuer: "le", DNS: []string{"main"},
			Key: spec.Key{Algorithm: spec.ECDSA, Curve: "P-384", Rotation: spec.RotateAlways}, Renewal: spec.Renewal{Auto: true, ThresholdDays: 30, FallbackAfter: 72 * time.Hour}, Vault: spec.Target{Mount: "secret", Path: "tls/api"}, OnRemove: spec.Keep}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := decodeGood(t, map[string]string{"world.hcl": world, "teams/api.hcl": test.hcl})
			test.want.File = "teams/api.hcl"
			pem, _ := spec.PresetFields("pem")
			if test.want.Vault.Fields.Digest() != pem.Digest() {
				t.Fatal("the zero Fields is not pem")
			}
			opts := cmp.Options{cmpopts.IgnoreTypes(hcl.Range{}), cmpopts.IgnoreTypes(spec.Fields{}), cmpopts.EquateEmpty(), cmpopts.EquateComparable(spec.Domain{}.IP)}
			if diff := cmp.Diff(&test.want, s.Certificate("api"), opts); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestForEach(t *testing.T) {
	s := decodeGood(t, map[string]string{"world.hcl": world, "c.hcl": `
locals {
  shops = { berlin = { name = "b", days = 10 }, lyon = { name = "l", days = 20 } }
}
certificate "shop" {
  for_each = local.shops
  domains  = ["${each.key}.example.com", "${each.value.name}.example.com"]
  issuer   = issuer.le
  dns      = dns.main
  renewal { threshold_days = each.value.days }
}
certificate "set" {
  for_each = toset(["a", "b"])
  domains  = ["${each.value}.example.org"]
  issuer   = issuer.le
  dns      = dns.main
  vault { path = "sets/${each.key}" }
}`})
	var got []string
	for _, c := range s.Certificates {
		got = append(got, fmt.Sprintf("%s %v %d %s", c.Name, c.Names(), c.Renewal.ThresholdDays, c.Vault.Path))
	}
	want := []string{
		"set.a [a.example.org] 30 sets/a",
		"set.b [b.example.org] 30 sets/b",
		"shop.berlin [berlin.example.com b.example.com] 10 tls/shop.berlin",
		"shop.lyon [lyon.example.com l.example.com] 20 tls/shop.lyon",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, c := range s.Certificates {
		if s.Certificate(c.Name) != c {
			t.Errorf("%s is not found by its name", c.Name)
		}
	}
	if s.Certificate("shop") != nil {
		t.Error("the block itself is no certificate")
	}
}

func TestDefaults(t *testing.T) {
	s := decodeGood(t, map[string]string{
		"world.hcl": world,
		"top.hcl": `
defaults {
  issuer    = issuer.le
  dns       = dns.main
  on_remove = "delete"
  labels    = { from = "top" }
  key { algorithm = "rsa" }
  renewal { threshold_days = 20 }
}
certificate "top" { domains = ["top.example.com"] }`,
		"teams/a/defaults.hcl": `
defaults {
  dns = [dns.backup]
  renewal {
    auto  = false
    until = "2026-12-31"
  }
  vault { mount = "kv" }
}`,
		"teams/a/deep/c.hcl": `
certificate "deep" {
  domains = ["deep.example.com"]
  key {
    curve    = "P-256"
    rotation = "never"
    max_age  = "180d"
  }
}`,
		"teams/b.hcl": `certificate "b" { domains = ["b.example.com"] }`,
	})
	show := func(name string) string {
		c := s.Certificate(name)
		return fmt.Sprintf("%s %v %v auto=%v threshold=%d until=%s %s %s %v", c.Issuer, c.DNS, c.Key,
			c.Renewal.Auto, c.Renewal.ThresholdDays, c.Renewal.Until.Format(time.DateOnly), c.Vault.Mount, c.OnRemove, c.Labels)
	}
	for name, want := range map[string]string{
		"top":  "le [main] {rsa  0 always 0s false} auto=true threshold=20 until=0001-01-01 secret delete map[from:top]",
		"b":    "le [main] {rsa  0 always 0s false} auto=true threshold=20 until=0001-01-01 secret delete map[from:top]",
		"deep": "le [backup] {ecdsa P-256 0 never 4320h0m0s false} auto=false threshold=20 until=2027-01-01 kv delete map[from:top]",
	} {
		if got := show(name); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

// TestTrusted: issuer and dns blocks in certroll.hcl may reach what the config repo may not.
func TestTrusted(t *testing.T) {
	trust := spec.Trust{Known: true, Files: []spec.File{{Path: "/etc/certroll.hcl", Bytes: []byte(`
interval = "1m"
vault { address = "https://vault.example.com" }
issuer "ours" {
  directory               = "https://acme.example.com/directory"
  terms_of_service_agreed = true
}
dns "ours" {
  provider    = "httpreq"
  credentials = { HTTPREQ_ENDPOINT = "https://dns.example.com", HTTPREQ_PASSWORD = vault("certroll/secrets", "httpreq") }
}`)}}}
	repo := spec.File{Path: "c.hcl", Bytes: []byte(`
certificate "c" {
  domains = ["c.example.com"]
  issuer  = issuer.ours
  dns     = dns.ours
}`)}
	s, diags := Files(t.Context(), []spec.File{repo}, trust)
	if len(diags) != 0 {
		t.Fatal(spectest.Text(diags))
	}
	if s.DNS["ours"].Provider != "httpreq" || s.Certificate("c").Issuer != "ours" {
		t.Errorf("got %+v", s)
	}
}

// TestFilesAreForTheTrusted: the config repo cannot make certroll read a local file, whatever variable names it.
func TestFilesAreForTheTrusted(t *testing.T) {
	block := `
dns "ours" {
  provider    = "cloudflare"
  credentials = { CF_DNS_API_TOKEN = file("%s") }
}`
	trusted := func(path string) (*spec.Spec, hcl.Diagnostics) {
		return Files(t.Context(), nil, spec.Trust{Known: true, Files: []spec.File{{Path: "/etc/certroll.hcl", Bytes: fmt.Appendf(nil, block, path)}}})
	}
	s, diags := trusted("/run/secrets/cloudflare")
	if len(diags) != 0 {
		t.Fatal(spectest.Text(diags))
	}
	if v := s.DNS["ours"].Credentials["CF_DNS_API_TOKEN"]; v.Source != spec.FromFile || v.Path != "/run/secrets/cloudflare" {
		t.Errorf("got %+v", v)
	}
	if _, diags = trusted("secrets/../cloudflare"); !diags.HasErrors() || !strings.Contains(spectest.Text(diags), "no absolute path") {
		t.Errorf("a relative path gives %s", spectest.Text(diags))
	}
	_, diags = Files(t.Context(), []spec.File{{Path: "c.hcl", Bytes: fmt.Appendf(nil, block, "/etc/shadow")}}, spec.Trust{Known: true})
	if !diags.HasErrors() || !strings.Contains(spectest.Text(diags), "certroll.hcl alone") {
		t.Errorf("in the repo it gives %s", spectest.Text(diags))
	}
}

// TestUnknownTrust: without certroll.hcl no reference is rejected for its target, and one warning says so.
func TestUnknownTrust(t *testing.T) {
	s, diags := Files(t.Context(), []spec.File{{Path: "w.hcl", Bytes: []byte(world)}}, spec.Trust{})
	if s == nil || len(diags) != 1 || diags[0].Severity != hcl.DiagWarning || diags[0].Summary != "References not checked" {
		t.Fatal(spectest.Text(diags))
	}
}

// TestNothingAllowed: if certroll.hcl allows nothing, the error suggests no other name.
func TestNothingAllowed(t *testing.T) {
	const file = `dns "env" {
  provider    = "cloudflare"
  credentials = { CF_DNS_API_TOKEN = env("CERTROLL_DNS_CF") }
}
dns "vault" {
  provider    = "cloudflare"
  credentials = { CF_DNS_API_TOKEN = vault("secret/dns/cf", "token") }
}
dns "web" {
  challenge = "http-01"
  webroot   = "/var/www"
}
`
	_, diags := Files(t.Context(), []spec.File{{Path: "a.hcl", Bytes: []byte(file)}}, spec.Trust{Known: true, Env: []string{}})
	for i, want := range []string{"trust.env in certroll.hcl allows none", "trust.vault in certroll.hcl allows none", "and it names none"} {
		if len(diags) != 3 || !strings.Contains(diags[i].Detail, want) {
			t.Errorf("%q is not said:\n%s", want, spectest.Text(diags))
		}
	}
}

package providers

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestTableIsLegos: the generated table matches the lego version in go.mod.
func TestTableIsLegos(t *testing.T) {
	got, err := exec.CommandContext(t.Context(), "go", "run", "gen_providers.go").Output()
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("providers_table.go")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Error("providers_table.go is not what lego has: run go generate ./spec/providers")
	}
}

// TestEveryCode: package providers lists or rejects every provider code that lego accepts.
func TestEveryCode(t *testing.T) {
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/go-acme/lego/v4").Output()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(strings.TrimSpace(string(dir)), "providers", "dns", "zz_gen_dns_providers.go")
	file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	codes := 0
	ast.Inspect(file, func(n ast.Node) bool {
		clause, ok := n.(*ast.CaseClause)
		if !ok {
			return true
		}
		for _, e := range clause.List {
			code, err := strconv.Unquote(e.(*ast.BasicLit).Value)
			if p, refusal := Lookup(code); err != nil || p == nil && refusal == "" {
				t.Errorf("lego takes %q, which is unknown here", code)
			}
			codes++
		}
		return true
	})
	if want := len(providerTable) + len(providerAliases); codes != want {
		t.Errorf("lego takes %d codes, the table has %d", codes, want)
	}
}

func TestProviders(t *testing.T) {
	for code, want := range map[string]string{"cloudflare": "cloudflare", "dnsupdate": "rfc2136", "acmedns": "acme-dns", "route53": "route53"} {
		if p, refusal := Lookup(code); p == nil || p.Code != want || refusal != "" {
			t.Errorf("%s: %v %q", code, p, refusal)
		}
	}
	for _, code := range []string{"exec", "manual", "transip", "hyperone", "azure", "cloudxns"} {
		if p, refusal := Lookup(code); p != nil || refusal == "" {
			t.Errorf("%s is not refused", code)
		}
	}
	if p, refusal := Lookup("cloudflair"); p != nil || refusal != "" {
		t.Error("an unknown provider is known, or refused")
	}
}

// TestVariables: no variable of any provider reaches a file or the process.
func TestVariables(t *testing.T) {
	p := &Provider{"rfc2136"}
	for name, want := range map[string]bool{
		"RFC2136_TSIG_SECRET": true, "DNSUPDATE_NAMESERVER": true, "RFC2136_TSIG_FILE": false, "DNSUPDATE_TSIG_SECRET_FILE": false, "HTTPS_PROXY": false,
		"https_proxy": false, "LD_PRELOAD": false, "LEGO_CA_CERTIFICATES": false, "GODEBUG": false, "PATH": false, "REQUEST_METHOD": false, "OS_CLOUD": false, "DNSIMPLE_DEBUG": false, "INFOBLOX_CA_CERTIFICATE": false, "CF_DNS_API_TOKEN": false,
	} {
		if _, known := p.Variable(name); known != want {
			t.Errorf("%s: %v, want %v", name, known, want)
		}
	}
	if _, known := (&Provider{"godaddy"}).Variable("GODADDY_API_KEY"); !known {
		t.Error("GODADDY_API_KEY is refused")
	}
	for code := range providerTable {
		for _, name := range (&Provider{code}).VariableNames() {
			if strings.HasSuffix(name, "_FILE") || strings.HasSuffix(name, "_PATH") || strings.HasSuffix(name, "_PROXY") {
				t.Errorf("%s may set %s", code, name)
			}
		}
	}
}

func TestLooksSecret(t *testing.T) {
	for text, want := range map[string]bool{
		"-----BEGIN EC PRIVATE " + "KEY-----":                                      true,
		"gh" + "p_" + strings.Repeat("a", 36):                                      true,
		"hv" + "s." + strings.Repeat("A1b", 8):                                     true,
		"eyJ" + strings.Repeat("a", 9) + ".eyJzdWIiOiIx":                           true,
		strings.Repeat("0123456789abcdef", 3):                                      true,
		strings.Repeat("aZ3kQ9xW", 5):                                              true,
		"https://ops:hunter2@dns.example.com/api":                                  true,
		"Bearer gl" + "pat-" + strings.Repeat("x", 20):                             true,
		"ns1.example.com:53":                                                       false,
		"https://ops@dns.example.com:8443/api":                                     false,
		"hvs.example.com":                                                          false,
		"SharedServices-Production-DnsResourceGroup-01":                            false,
		"f5xc_Tenant0042_Namespace_default_eu_west_1":                              false,
		"AKID" + strings.Repeat("a1B2", 8):                                         false, // an access key ID
		"npm_config":                                                               false,
		"/subscriptions/0f8fad5b-d9cb-469f-a165-70867728950e/resourceGroups/Zones": false,
		"AKIA" + strings.Repeat("A1", 8):                                           false, // an access key ID
		"9223372036854775807":                                                      false,
		"2m30s":                                                                    false,
		"https://dns.example.com/api/v2/zones":                                     false,
		"ops@example.com":                                                          false,
		"0f8fad5b-d9cb-469f-a165-70867728950e":                                     false,
		"023e105f4ecef8ad9ca31a8372d0c353":                                         false, // a zone ID
		"300":                                                                      false,
		"us-east-1":                                                                false,
		"hmac-sha256.":                                                             false,
		"":                                                                         false,
	} {
		if _, got := LooksSecret(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
	for name, want := range map[string]bool{
		"CF_DNS_API_TOKEN": true, "AWS_SECRET_ACCESS_KEY": true, "RFC2136_TSIG_SECRET": true, "OCI_PRIVKEY_PASS": true, "GCE_SERVICE_ACCOUNT": true,
		"HURRICANE_TOKENS": true, "MYADDR_PRIVATE_KEYS_MAPPING": true, "NICMANAGER_API_OTP": true, "VOLC_SECRETKEY": true, "EDGEONE_SECRET_ID": false, "ALICLOUD_SECRET_KEY": true,
		"SCW_ACCESS_KEY": false, "OVH_APPLICATION_KEY": false, "OVH_APPLICATION_SECRET": true,
		"AWS_ACCESS_KEY_ID": false, "RFC2136_TSIG_KEY": false, "RFC2136_NAMESERVER": false, "AZURE_TENANT_ID": false, "CLOUDFLARE_TTL": false,
	} {
		if got := IsSecret(name); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

// TestRequired checks the required variables of providers that need one token, several keys, a server address, and one
// whose constructor in lego does not state them.
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

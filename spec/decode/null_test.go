package decode

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"certroll/spec"
	"certroll/spec/spectest"
)

// What null means for a setting.
const (
	leftOut  = "left out" // as if the line were missing: the default, or the value from defaults
	required = "missing"  // as if the line were missing, which is an error
	refused  = "refused"  // an error
	noBlock  = "no block" // as if the block around it were missing
)

// nulls lists the meaning of null for each setting of each block. TestNull fails for a setting that is not listed.
var nulls = map[string]string{
	"certificate.domains": required, "certificate.issuer": leftOut, "certificate.dns": leftOut, "certificate.for_each": refused,
	"certificate.labels": leftOut, "certificate.on_remove": leftOut, "certificate.probe": leftOut, "certificate.rotate": leftOut,
	"certificate.key.algorithm": leftOut, "certificate.key.curve": leftOut, "certificate.key.size": leftOut, "certificate.key.rotation": leftOut,
	"certificate.key.max_age": leftOut, "certificate.key.next": leftOut,
	"certificate.renewal.auto": leftOut, "certificate.renewal.reason": leftOut, "certificate.renewal.until": leftOut,
	"certificate.renewal.threshold": leftOut, "certificate.renewal.threshold_days": leftOut, "certificate.renewal.fallback_after": leftOut,
	"certificate.vault.mount": leftOut, "certificate.vault.path": leftOut, "certificate.vault.fields": leftOut, "certificate.vault.previous": leftOut,
	"certificate.rotate.reason": noBlock, "certificate.rotate.revoke": leftOut, "certificate.rotate.code": leftOut,

	"issuer.directory": required, "issuer.terms_of_service_agreed": required, "issuer.email": leftOut, "issuer.account": leftOut,
	"issuer.profile": leftOut, "issuer.preferred_chain": leftOut, "issuer.processing_timeout": leftOut, "issuer.ca_bundle": leftOut,
	"issuer.eab.key_id": required, "issuer.eab.hmac": required,
	"issuer.limits.orders": leftOut, "issuer.limits.certificates_per_domain": leftOut, "issuer.limits.exact_set": leftOut,
	"issuer.limits.failed_validations": leftOut, "issuer.limits.consecutive_failures": leftOut,

	"dns.challenge": leftOut, "dns.provider": required, "dns.credentials": leftOut, "dns.follow_cname": leftOut, "dns.parallel": leftOut, "dns.zones": leftOut,
	"dns.propagation.timeout": leftOut, "dns.propagation.interval": leftOut, "dns.propagation.wait": leftOut, "dns.propagation.nameservers": leftOut,
	"http.listen": leftOut, "http.webroot": leftOut, "http.challenge": required, "http.parallel": leftOut, "http.zones": leftOut,

	"policy.files": refused, "policy.blocks": refused, "policy.names": refused, "policy.issuers": refused, "policy.dns": refused,
	"policy.vault": refused, "policy.passwords": refused, "policy.min_key": refused, "policy.max_certificates": refused,
	"policy.wildcards": refused, "policy.revoke": refused, "policy.key_reuse": refused, "policy.pause": refused, "policy.probe": refused,
}

// nullBlocks are the required settings of each outermost block.
var nullBlocks = map[string]map[string]string{
	"certificate": {"domains": `["a.example.com"]`, "issuer": "issuer.le", "dns": "dns.main"},
	"issuer":      {"directory": `"https://acme.example.com/dir"`, "terms_of_service_agreed": "true"},
	"dns":         {"provider": `"cloudflare"`, "credentials": `{ CF_DNS_API_TOKEN = vault("secret/dns/cf", "token") }`},
	"http":        {"challenge": `"http-01"`},
	"policy":      {"files": `["**"]`},
}

func TestNull(t *testing.T) {
	seen := map[string]bool{}
	for _, block := range slices.Sorted(maps.Keys(nullBlocks)) {
		for _, setting := range settingsUnder(t, block) {
			name := block + "." + setting
			seen[name] = true
			t.Run(name, func(t *testing.T) {
				if nulls[name] == "" {
					t.Fatal("it is not decided what null means for it: add it to nulls, and to docs/spec.md where it is no default")
				}
				checkNull(t, block, setting, nulls[name])
			})
		}
	}
	for name := range nulls {
		if !seen[name] {
			t.Errorf("there is no setting %s", name)
		}
	}
}

func checkNull(t *testing.T, block, setting, want string) {
	with, saidWith := decodeNull(t, block, setting, "null")
	computed, saidComputed := decodeNull(t, block, setting, "try(local.nowhere.x, null)")
	without, saidWithout := decodeNull(t, block, setting, "")
	if with != computed || saidWith == "" && saidComputed != "" {
		t.Errorf("a computed null is another one: %s", saidComputed)
	}
	leaf := setting[strings.LastIndex(setting, ".")+1:]
	switch want {
	case leftOut:
		if with != without || saidWith != saidWithout || saidWithout != "" {
			t.Errorf("null is not as left out: %s\n%s\n%s\n%s", saidWith, saidWithout, with, without)
		}
	case required:
		if !strings.Contains(saidWith, "Missing setting") || saidWith != saidWithout {
			t.Errorf("null is not as left out: %s\n%s", saidWith, saidWithout)
		}
	case noBlock:
		if none, _ := decodeNull(t, block, strings.TrimSuffix(setting, "."+leaf), ""); with != none || saidWith != "" || saidWithout == "" {
			t.Errorf("null is not as without the block: %s\n%s\n%s", saidWith, with, none)
		}
	case refused:
		if !strings.Contains(saidWith, "Setting is null") || !strings.Contains(saidWith, leaf+" is null") {
			t.Errorf("it says: %s", saidWith)
		}
	}
}

// settingsUnder returns the settings of a block and its inner blocks, taken from the error for an unknown setting.
func settingsUnder(t *testing.T, block string) []string {
	t.Helper()
	list := regexp.MustCompile(`has no qqqqqqqqqqqq\. It has ([^.]+)\.`)
	_, said := decodeNull(t, block, "qqqqqqqqqqqq", "1")
	m := list.FindStringSubmatch(said)
	if m == nil {
		t.Fatalf("no list of settings for %s: %s", block, said)
	}
	var all []string
	for name := range strings.SplitSeq(m[1], ", ") {
		if inner := list.FindStringSubmatch(saidInside(t, block, name)); inner != nil {
			for leaf := range strings.SplitSeq(inner[1], ", ") {
				all = append(all, name+"."+leaf)
			}
			if name != "rotate" {
				continue
			}
		}
		all = append(all, name)
	}
	return all
}

func saidInside(t *testing.T, block, inner string) string {
	_, said := decodeNull(t, block, inner+".qqqqqqqqqqqq", "1")
	return said
}

// decodeNull decodes a block with one setting set to an expression, or left out if the expression is "". It returns the
// spec without places, and the diagnostics.
func decodeNull(t *testing.T, block, setting, expr string) (string, string) {
	t.Helper()
	lines := maps.Clone(nullBlocks[block])
	inner, leaf, nested := strings.Cut(setting, ".")
	var within string
	switch {
	case nested:
		extra := map[string]string{"eab": "key_id = \"k\"\nhmac = env(\"CERTROLL_DNS_H\")\n", "rotate": "reason = \"r\"\n"}[inner]
		extra = regexp.MustCompile(`(?m)^`+leaf+` = .*\n`).ReplaceAllString(extra, "")
		if expr != "" {
			extra += leaf + " = " + expr + "\n"
		}
		within = inner + " {\n" + extra + "}\n"
	case expr == "":
		delete(lines, setting)
	default:
		lines[setting] = expr
	}
	var b strings.Builder
	kind := map[string]string{"http": "dns"}[block]
	if kind == "" {
		kind = block
	}
	fmt.Fprintf(&b, "%s \"x\" {\n", kind)
	for _, name := range slices.Sorted(maps.Keys(lines)) {
		fmt.Fprintf(&b, "%s = %s\n", name, lines[name])
	}
	b.WriteString(within + "}\n")
	trust := strict
	files := []spec.File{{Path: "b.hcl", Bytes: []byte(world)}, {Path: "d.hcl", Bytes: []byte("defaults {\n issuer = issuer.le\n dns = dns.main\n}\nlocals {\n nowhere = {}\n}\n")}}
	if block == "policy" {
		trust.Files = []spec.File{{Path: "certroll.hcl", Bytes: []byte(strings.ReplaceAll(b.String(), "local.nowhere.x", "{}.x"))}}
	} else {
		files = append(files, spec.File{Path: "a.hcl", Bytes: []byte(b.String())})
	}
	s, diags := Files(t.Context(), files, trust)
	said := regexp.MustCompile(`(?m)^[^\t]*: (.*)$`).ReplaceAllString(spectest.Text(diags), "$1")
	if s == nil {
		return "", said
	}
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(`"Range":\{[^{}]*(\{[^{}]*\}[^{}]*)*\}`).ReplaceAllString(string(text), ""), said
}

// TestNullFallsToDefaults: null takes the value from defaults, as leaving the setting out does.
func TestNullFallsToDefaults(t *testing.T) {
	s := decodeGood(t, map[string]string{"w.hcl": world, "a.hcl": `
defaults {
  issuer    = issuer.le
  dns       = dns.main
  on_remove = "delete"
  labels    = { team = "a" }
  vault { fields = "kubernetes" }
}
certificate "x" {
  domains   = ["a.example.com"]
  issuer    = null
  on_remove = null
  labels    = null
  vault { fields = null }
}`})
	c := s.Certificates[0]
	if c.Issuer != "le" || c.OnRemove != spec.Delete || c.Labels["team"] != "a" || c.Vault.Fields.Digest() != "kubernetes" {
		t.Errorf("%+v", c)
	}
}

// TestNullElements: null inside a list or map is an error. A provider variable that is null is left out.
func TestNullElements(t *testing.T) {
	for setting, good := range map[string]bool{
		`domains = ["a.example.com", null]`: false, `probe = ["a.example.com:443", null]`: false, `labels = { a = null }`: false,
		`issuer = [issuer.le, null]`: false, `dns = [null]`: false, "vault {\n fields = { a = null, k = cert.private_key }\n}": false,
	} {
		src := "certificate \"x\" {\n" + setting + "\n"
		for name, value := range nullBlocks["certificate"] {
			if !strings.HasPrefix(setting, name+" ") {
				src += name + " = " + value + "\n"
			}
		}
		_, diags := Files(t.Context(), []spec.File{{Path: "a.hcl", Bytes: []byte(src + "}\n")}, {Path: "b.hcl", Bytes: []byte(world)}}, strict)
		if diags.HasErrors() == good {
			t.Errorf("%s: %s", setting, spectest.Text(diags))
		}
	}
	s := decodeGood(t, map[string]string{"a.hcl": strings.Replace(world, `vault("secret/dns/cf", "token") }`, `vault("secret/dns/cf", "token"), CLOUDFLARE_TTL = null }`, 1)})
	if n := len(s.DNS["main"].Credentials); n != 1 {
		t.Errorf("%d credentials", n)
	}
}

// TestForEachNull: a null for_each, which once retired every certificate of the block, is an error. In a revision that
// was in force before this rule, it does not affect other blocks.
func TestForEachNull(t *testing.T) {
	src := `
locals { sites = { EU = { a = "x", b = "y" } } }
certificate "site" {
  for_each = try(local.sites.eu, null)
  domains  = ["${each.key}.example.com"]
  issuer   = issuer.le
  dns      = dns.main
}
certificate "other" {
  domains = ["other.example.com"]
  issuer  = issuer.le
  dns     = dns.main
}`
	files := []spec.File{{Path: "a.hcl", Bytes: []byte(src)}, {Path: "b.hcl", Bytes: []byte(world)}}
	s, diags := Files(t.Context(), files, strict)
	if s != nil || !strings.Contains(spectest.Text(diags), "for_each is null") || !spec.OnlyNewRules(diags) {
		t.Fatalf("it is taken: %s", spectest.Text(diags))
	}
	before := strict
	before.InForce = true
	if s, diags = Files(t.Context(), files, before); diags.HasErrors() || len(s.Certificates) != 1 || len(s.Certificates[0].Held) != 0 {
		t.Fatalf("what was in force: %s", spectest.Text(diags))
	}
	// The explicit form of no instances is an empty map.
	files[0].Bytes = []byte(strings.Replace(src, "try(local.sites.eu, null)", "{}", 1))
	if s, diags = Files(t.Context(), files, strict); diags.HasErrors() || len(s.Certificates) != 1 {
		t.Fatalf("{}: %s", spectest.Text(diags))
	}
}

// TestNullInForce: a null that earlier versions accepted does not reject a revision that was in force.
func TestNullInForce(t *testing.T) {
	src := strings.Replace(world, "= true", "= null", 1) + `
certificate "x" {
  domains = ["a.example.com"]
  issuer  = issuer.le
  dns     = dns.main
  rotate { reason = null }
}`
	before := strict
	before.InForce = true
	s, diags := Files(t.Context(), []spec.File{{Path: "a.hcl", Bytes: []byte(src)}}, before)
	if diags.HasErrors() || len(s.Certificates) != 1 || len(s.Certificates[0].Held) != 1 || s.Certificates[0].Rotate != "" {
		t.Fatalf("%s%+v", spectest.Text(diags), s)
	}
}

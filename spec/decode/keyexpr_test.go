package decode

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"

	"certroll/spec"
	"certroll/spec/eval"
	"certroll/spec/spectest"
)

// decodeFields decodes a map of fields as a part of a whole repo.
func decodeFields(text string, inForce bool) (*spec.Spec, hcl.Diagnostics) {
	trust := strict
	trust.InForce = inForce
	return Files(context.Background(), []spec.File{{Path: "world.hcl", Bytes: []byte(world)}, {Path: "c.hcl", Bytes: fmt.Appendf(nil, `
locals {
  n = 100
  name = "private_key"
  list = ["a", "b"]
}
certificate "c" {
  domains = ["www.example.com"]
  issuer  = issuer.le
  dns     = dns.main
  vault {
    fields = { base = cert.private_key, x = %s }
  }
}`, text)}}, trust)
}

// oracle is a field that revealed one of 62 possible characters of the key per commit: it recognized the sample, and
// failed for a real key depending on one character.
const oracle = `cert.serial == "0a:1b:2c" ? "x" : (substr(cert.private_key, 100, 1) == "A" ? tostring(tonumber("no")) : "x")`

// computes are expressions whose result depends on the key, or on a keystore whose password the author may know.
var computes = []string{
	oracle,
	`cert.private_key == "" ? "a" : "b"`,
	`true ? cert.private_key : "x"`,
	`!(cert.private_key == "")`,
	`-cert.private_key`,
	`substr(cert.private_key, local.n, 1)`,
	`tostring(strlen(cert.private_key))`,
	`tostring(tonumber(cert.private_key))`,
	`try(cert.private_key, "x")`,
	`try(tonumber("${cert.private_key}"), "x")`,
	`can(regex("A", cert.private_key)) ? "a" : "b"`,
	`regex("[A-Z]", cert.private_key)`,
	`regexreplace(cert.private_key, "A", "")`,
	`replace(cert.private_key, "A", "")`,
	`upper(cert.private_key)`, `title(cert.private_key)`, `strrev(cert.private_key)`, `trim(cert.private_key, "A")`,
	`trimprefix(cert.private_key, "A")`, `coalesce(cert.private_key, "x")`,
	`split("A", cert.private_key)[0]`,
	`element(local.list, strlen(cert.private_key))`,
	`lookup({ a = cert.private_key }, "a", "x")`,
	`join("", sort([cert.private_key, "x"]))`,
	`join(cert.private_key, ["a", "b"])`,
	`join("", [for x in local.list : cert.private_key])`,
	`join("", [for x in local.list : x if x != cert.private_key])`,
	`join("", [for x in split("", cert.private_key) : x])`,
	`join("", [for k, v in cert : v])`,
	`join("", [for cert in [cert.private_key] : cert])`,
	`join("", [cert.private_key][*])`,
	`join("", [["a"], [cert.private_key]]...)`,
	`join("", values(cert))`,
	`jsonencode(cert)`,
	`jsonencode({ a = cert })`,
	`jsonencode({ (cert.private_key) = 1 })`,
	`jsonencode({ "${cert.private_key}" = 1 })`,
	`{ a = cert.private_key }["a"]`, `[cert.private_key][0]`, `[cert.private_key, "x"][strlen(cert.ca) > 0 ? 0 : 1]`,
	`cert[local.name]`, `cert["private${"_key"}"]`, `(cert).private_key`, `cert.*.private_key`, `cert[*].private_key`,
	`merge(cert, {}).private_key`,
	`"${cert.private_key == "" ? "a" : "b"}"`,
	`"%{ if cert.private_key == "" }a%{ endif }"`,
	`"%{ if true }${cert.private_key}%{ endif }"`,
	`"%{ for x in [cert.private_key] }${x}%{ endfor }"`,
	`"${substr("${cert.private_key}", 1, 1)}"`,
	`format("%5s", cert.private_key)`, `format("%q", cert.private_key)`, `format("%.3s", cert.private_key)`, `format("%d", cert.private_key)`,
	`format("%v", cert.private_key)`, `format("%[1]s", cert.private_key)`, `format(cert.private_key)`, `format("${cert.private_key}%s", "x")`,
	`join("", formatlist("%s", [cert.private_key]))`,
	`indent(strlen(cert.private_key), "x")`,
	`substr(base64encode(cert.private_key), 1, 1)`, `strlen(jsonencode(cert.private_key)) > 3 ? "a" : "b"`,
	`substr(jks(env("CERTROLL_DNS_A")), 1, 1)`, `pkcs12(env("CERTROLL_DNS_A")) == "" ? "a" : "b"`,
	`join("", [for x in local.list : jks(env("CERTROLL_DNS_A"))])`,
	`jks(env("CERTROLL_DNS_A"), cert.private_key)`, `jks(env(cert.private_key))`, `jks(vault("secret/dns/${cert.private_key}", "x"))`,
	`jks(env("CERTROLL_DNS_A"), jks(env("CERTROLL_DNS_A")))`,
	`jks(cert.private_key == "" ? env("CERTROLL_DNS_A") : env("CERTROLL_DNS_B"))`,
	`pkcs12([env("CERTROLL_DNS_A"), cert.private_key]...)`,
	`base64encode(cert.private_key[0])`,
	`tostring(contains([cert.private_key], "x"))`, `tostring(length([for c in [cert.private_key] : c if c == "x"]))`,
	`join("", distinct([cert.private_key, "x"]))`, `join("", compact([cert.private_key]))`, `join("", keys({ (cert.private_key) = 1 }))`,
	`join("", flatten([cert.private_key]))`, `join("", [for l in chunklist([cert.private_key], 1) : l[0]])`,
	`join("", tolist([cert.private_key]))`, `join("", toset([cert.private_key, "a"]))`, `zipmap(["a"], [cert.private_key]).a`,
}

// carriesKey are the uses of the key in real configurations, which must remain valid.
var carriesKey = []string{
	`cert.private_key`, `cert["private_key"]`, `"${cert.private_key}"`, `"${cert.private_key}${cert.fullchain}"`, `(cert.private_key)`,
	"<<-PEM\n  ${~ cert.private_key ~}\n  ${cert.fullchain}\n  PEM\n",
	`join("\n", [cert.private_key, cert.fullchain])`, `join("", ["a"], [trimspace(cert.private_key)])`, `format("%s%s%%", cert.fullchain, cert.private_key)`,
	`chomp(cert.private_key)`, `trimspace(cert.private_key)`, `indent(2, cert.private_key)`, `base64encode(cert.private_key)`,
	`jsonencode({ key = cert.private_key, chain = cert.fullchain, names = cert.names })`, `jsonencode([base64encode(cert.private_key)])`,
	`base64encode("${cert.private_key}${jks(env("CERTROLL_DNS_A"))}")`, `pkcs12(env("CERTROLL_DNS_A"))`, `jks(vault("secret/dns/a", "p"), cert.names[0])`,
	`jsonencode({ p12 = pkcs12(env("CERTROLL_DNS_A")) })`,
	// Expressions may compute with public values.
	`cert.names[0] == "x" ? "a" : "b"`, `join(",", [for n in cert.names : upper(n)])`, `substr(cert.fullchain, 0, 27)`, `try(cert.chain, "x")`, `cert.serial`,
	`"%{ for n in cert.names }${n} %{ endfor }"`, `tostring(strlen(cert.ca))`, `cert["key_digest"]`, `replace(cert.serial, ":", "")`,
}

// TestKeyIsNotComputedOn: validate rejects each of these expressions with its place.
func TestKeyIsNotComputedOn(t *testing.T) {
	for _, text := range computes {
		_, diags := decodeFields(text, false)
		found := false
		for _, d := range diags {
			if rule, ok := d.Extra.(spec.NewRule); ok && rule.Name == "fields.private_key" && d.Severity == hcl.DiagError {
				found = true
				if d.Subject == nil || d.Subject.Filename != "c.hcl" || d.Subject.Start.Line != 12 || d.Subject.Start.Column < 45 {
					t.Errorf("%s: it is said of %v", text, d.Subject)
				}
			}
		}
		if !found {
			t.Errorf("%s is not refused:\n%s", text, spectest.Text(diags))
		}
	}
	for _, text := range carriesKey {
		if _, diags := decodeFields(text, false); diags.HasErrors() {
			t.Errorf("%s is refused:\n%s", text, spectest.Text(diags))
		}
	}
}

// TestKeyRuleHolds: in a revision that was in force the rule holds the certificate, and certroll does not evaluate its
// fields.
func TestKeyRuleHolds(t *testing.T) {
	s, diags := decodeFields(oracle, true)
	if diags.HasErrors() {
		t.Fatal(spectest.Text(diags))
	}
	c := s.Certificate("c")
	if len(c.Held) == 0 || c.Held[0].Rule.Name != "fields.private_key" || !c.Held[0].Everything() {
		t.Fatalf("held by %v", c.Held)
	}
	m, _ := material(t)
	if got, err := c.Vault.Fields.Render(m, noResolve); err == nil || got != nil {
		t.Errorf("made %d fields, %v", len(got), err)
	}
}

// TestSampleIsNoOracle: validate rejects an expression that works only for the constants of the sample. Otherwise an
// expression could pass validation and fail on purpose.
func TestSampleIsNoOracle(t *testing.T) {
	for _, known := range []string{
		`cert.serial == "0a:1b:2c"`, `cert.names[0] == "www.example.com"`, `cert.not_before == "1970-01-01T00:00:00Z"`,
		`strlen(cert.certificate) < 200`, `cert.key_digest == "` + strings.Repeat("0a", 32) + `"`,
	} {
		_, diags := decodeFields(known+` ? "x" : tostring(tonumber("no"))`, false)
		if !diags.HasErrors() || !strings.Contains(spectest.Text(diags), "Expression fails for a certificate") {
			t.Errorf("%s is taken:\n%s", known, spectest.Text(diags))
		}
	}
}

func TestEncodings(t *testing.T) {
	m, _ := material(t)
	got, err := fieldsOf(t, `{ a = base64encode(cert.private_key), b = jsonencode({ key = cert.private_key }) }`).Render(m, noResolve)
	if err != nil {
		t.Fatal(err)
	}
	var decoded map[string]string
	if err := json.Unmarshal([]byte(got["b"]), &decoded); err != nil || decoded["key"] != m.PrivateKey {
		t.Errorf("%v: %.40q", err, got["b"])
	}
	if got["a"] != base64.StdEncoding.EncodeToString([]byte(m.PrivateKey)) {
		t.Errorf("got %.40q", got["a"])
	}
}

// TestKeyIsChargedAlike: the PEM of an RSA key varies in length with the key. Fields at the size limit of a secret must
// be accepted for all keys or for none.
func TestKeyIsChargedAlike(t *testing.T) {
	m, _ := material(t)
	var texts []string
	for len(texts) < 60 && (len(texts) < 2 || len(texts[0]) == len(texts[len(texts)-1])) {
		key, err := rsa.GenerateKey(rand.Reader, 1024)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, encodedKey(t, key))
	}
	short, long := texts[0], texts[len(texts)-1]
	if len(short) == len(long) {
		t.Fatal("all keys have one length")
	}
	fill := func(n int) spec.Fields {
		return fieldsOf(t, fmt.Sprintf(`{ a = cert.private_key, b = cert.next_key_digest != "" ? "" : %q }`, strings.Repeat("x", n)))
	}
	made, refused := 0, 0
	for n := eval.MaxValue - len(long) - 700; n < eval.MaxValue-len(short)+20; n += 31 {
		f := fill(n)
		var results []string
		for _, key := range []string{short, long} {
			m.PrivateKey = key
			_, err := f.Render(m, noResolve)
			results = append(results, fmt.Sprint(err))
		}
		if results[0] != results[1] {
			t.Fatalf("with %d bytes beside it: %q of one key, %q of another", n, results[0], results[1])
		}
		if results[0] == "<nil>" {
			made++
		} else {
			refused++
		}
	}
	if made == 0 || refused == 0 {
		t.Errorf("%d were made, %d refused: the bound was not met", made, refused)
	}
}

func encodedKey(t testing.TB, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// twoKeys returns two materials that differ only in their private key.
func twoKeys(t testing.TB) (one, other spec.Material) {
	t.Helper()
	one, _ = material(t)
	other = one
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other.PrivateKey = encodedKey(t, key)
	return one, other
}

// sameForBoth renders fields with both keys and compares everything that an outsider can observe.
func sameForBoth(t testing.TB, text string, f spec.Fields, one, other spec.Material) {
	t.Helper()
	resolve := func(spec.Value) (string, error) { return "a password of the keystore", nil }
	a, errA := f.Render(one, resolve)
	b, errB := f.Render(other, resolve)
	if fmt.Sprint(errA) != fmt.Sprint(errB) || errors.Is(errA, spec.ErrFields) != errors.Is(errB, spec.ErrFields) || len(a) != len(b) {
		t.Errorf("%s\nof one key: %d fields, %v\nof another: %d fields, %v", text, len(a), errA, len(b), errB)
	}
	for name := range a {
		if text, ok := b[name]; !ok || len(text) != len(a[name]) {
			t.Errorf("%s\nthe field %s has %d bytes of one key and %d of another", text, name, len(a[name]), len(text))
		}
	}
}

// grammar generates expressions over cert with every kind of syntax that HCL has.
type grammar struct{ *mathrand.Rand }

func (g grammar) pick(list ...func() string) string { return list[g.IntN(len(list))]() }

func (g grammar) expr(depth int) string {
	leaf := []string{
		"cert.private_key", "cert.private_key", "cert.serial", "cert.fullchain", "cert.names[0]", "cert.key_digest", "cert", "local.n", "local.list", `"x"`, "3",
		`cert["private_key"]`, "true", "cert.names", `jks(env("CERTROLL_DNS_A"))`, `env("CERTROLL_DNS_A")`, "local.name", "null",
	}
	if depth == 0 {
		return leaf[g.IntN(len(leaf))]
	}
	e := func() string { return g.expr(depth - 1) }
	calls := []string{
		"join", "format", "chomp", "trimspace", "indent", "base64encode", "jsonencode", "substr", "strlen", "tonumber", "tostring", "try", "can", "regex", "regexall", "replace",
		"upper", "lower", "sort", "split", "length", "element", "coalesce", "concat", "contains", "lookup", "keys", "values", "merge", "jks", "pkcs12", "formatlist", "flatten",
		"reverse", "strrev", "parseint", "range", "slice", "title", "trim", "trimprefix", "trimsuffix", "zipmap", "setunion", "distinct", "compact", "tolist", "toset", "max",
	}
	return g.pick(e,
		func() string { return `"a${` + e() + `}b${` + e() + `}"` },
		func() string { return "(" + e() + ")" },
		func() string { return e() + " == " + e() + " ? " + e() + " : " + e() },
		func() string {
			args := make([]string, 1+g.IntN(3))
			for i := range args {
				args[i] = e()
			}
			return calls[g.IntN(len(calls))] + "(" + strings.Join(args, ", ") + ")"
		},
		func() string { return `join("", [` + e() + ", " + e() + "])" },
		func() string { return `format("%s-%s", ` + e() + ", " + e() + ")" },
		func() string { return "[for x in " + e() + " : " + e() + "]" },
		func() string { return "[for x in " + e() + " : x if " + e() + " == x]" },
		func() string { return "{ a = " + e() + ", (" + e() + ") = " + e() + " }" },
		func() string { return "[" + e() + ", " + e() + "]" },
		func() string { return e() + "[" + e() + "]" },
		func() string { return "(" + e() + ")[*].private_key" },
		func() string { return `"%{ if ` + e() + ` == ` + e() + ` }a%{ else }${` + e() + `}%{ endif }"` },
		func() string { return `"%{ for x in ` + e() + ` }${x}%{ endfor }"` },
		func() string { return "!" + e() }, func() string { return e() + " + " + e() },
		func() string { return "indent(2, " + e() + ")" },
	)
}

// FuzzKeyOracle: for every expression over cert that validate accepts, two keys give the same outcome, the same error
// text, and fields of the same size.
func FuzzKeyOracle(f *testing.F) {
	for i, text := range append(append([]string{}, computes...), carriesKey...) {
		f.Add(text, uint64(i))
	}
	for i := range 300 {
		f.Add("", uint64(i))
	}
	one, other := twoKeys(f)
	f.Fuzz(func(t *testing.T, text string, seed uint64) {
		if text == "" {
			g := grammar{mathrand.New(mathrand.NewPCG(seed, 1))}
			text = g.expr(1 + g.IntN(4))
		}
		if len(text) > 2000 || strings.Contains(text, "<<") {
			return
		}
		for _, whole := range []string{text, `"${` + text + `}"`, "jsonencode(" + text + ")"} {
			s, diags := decodeFields(whole, false)
			if diags.HasErrors() || s.Certificate("c") == nil {
				continue
			}
			sameForBoth(t, whole, s.Certificate("c").Vault.Fields, one, other)
		}
	})
}

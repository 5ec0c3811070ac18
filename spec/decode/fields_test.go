package decode

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pavlo-v-chernykh/keystore-go/v4"
	"software.sslmate.com/src/go-pkcs12"

	"certroll/spec"
	"certroll/spec/spectest"
)

// material makes a leaf certificate issued by an intermediate.
func material(t testing.TB) (spec.Material, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "intermediate"}, IsCA: true, BasicConstraintsValid: true, NotAfter: time.Now().Add(time.Hour)}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(0x0a1b2c), DNSNames: []string{"www.example.com"}, NotAfter: time.Unix(2e9, 0)}
	encode := func(c *x509.Certificate) string {
		der, err := x509.CreateCertificate(rand.Reader, c, ca, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	m := spec.Material{Certificate: encode(leaf), Chain: encode(ca)}
	m.FullChain = m.Certificate + m.Chain
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	m.PrivateKey = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	return m, key
}

func noResolve(spec.Value) (string, error) { return "", errors.New("nothing is to be resolved") }

func TestPresets(t *testing.T) {
	m, _ := material(t)
	for name, want := range map[string]map[string]string{
		"pem":        {"certificate": m.Certificate, "chain": m.Chain, "fullchain": m.FullChain, "private_key": m.PrivateKey},
		"kubernetes": {"tls.crt": m.FullChain, "tls.key": m.PrivateKey, "ca.crt": m.Chain},
		"pki": {"certificate": m.Certificate, "issuing_ca": m.Chain, "ca_chain": m.Chain, "private_key": m.PrivateKey,
			"private_key_type": "ec", "serial_number": "0a:1b:2c", "expiration": "2000000000"},
	} {
		f, ok := spec.PresetFields(name)
		if got, err := f.Render(m, noResolve); !ok || err != nil || !maps.Equal(got, want) {
			t.Errorf("%s: %v, fields %v", name, err, slices.Sorted(maps.Keys(got)))
		}
		i := slices.Index(spec.PresetNames(), name)
		if named := slices.Concat(spec.Presets[i].Required, spec.Presets[i].Optional); !slices.Equal(slices.Sorted(slices.Values(named)), slices.Sorted(maps.Keys(want))) {
			t.Errorf("%s names the fields %v", name, named)
		}
	}
	m.Chain, m.FullChain = "", m.Certificate
	f, _ := spec.PresetFields("kubernetes")
	if got, err := f.Render(m, noResolve); err != nil || len(got) != 2 {
		t.Errorf("without a chain: %v, %d fields", err, len(got))
	}
}

// fieldsOf decodes a valid map of fields.
func fieldsOf(t testing.TB, text string) spec.Fields {
	t.Helper()
	s, diags := Files(t.Context(), []spec.File{{Path: "world.hcl", Bytes: []byte(world)}, {Path: "c.hcl", Bytes: fmt.Appendf(nil, `
certificate "c" {
  domains = ["www.example.com"]
  issuer  = issuer.le
  dns     = dns.main
  vault {
    fields = %s
  }
}`, text)}}, strict)
	if diags.HasErrors() {
		t.Fatal(spectest.Text(diags))
	}
	return s.Certificate("c").Vault.Fields
}

func TestExpressions(t *testing.T) {
	m, key := material(t)
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	m.NextKeyDigest = "beef"
	f := fieldsOf(t, `{
      tlsa          = "${cert.key_digest} ${cert.next_key_digest}"
      "haproxy.pem" = "${cert.private_key}${cert.fullchain}"
      about         = join(" ", concat(cert.names, [cert.serial, cert.not_after]))
    }`)
	got, err := f.Render(m, noResolve)
	if err != nil || got["haproxy.pem"] != m.PrivateKey+m.FullChain || got["about"] != "www.example.com 0a:1b:2c 2033-05-18T03:33:20Z" {
		t.Errorf("%v, about %q", err, got["about"])
	}
	if want := fmt.Sprintf("%x beef", sha256.Sum256(spki)); got["tlsa"] != want {
		t.Errorf("tlsa %q, want %q", got["tlsa"], want)
	}
	if f.Digest() == (spec.Fields{}).Digest() || f.Digest() == fieldsOf(t, `{ "haproxy.pem" = cert.private_key }`).Digest() {
		t.Error("other expressions have the same digest")
	}
}

// TestKeystores makes keystores concurrently, as apply does, and decodes them.
func TestKeystores(t *testing.T) {
	m, key := material(t)
	f := fieldsOf(t, `{
      "store.p12" = pkcs12(vault("secret/dns/store", "password"))
      "store.jks" = jks(env("CERTROLL_DNS_STORE"), "tomcat")
    }`)
	resolve := func(v spec.Value) (string, error) {
		if v.Range.Filename != "c.hcl" {
			t.Errorf("the reference has no place: %v", v.Range)
		}
		return "a password " + v.Path + v.Name, nil
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			got, err := f.Render(m, resolve)
			if err != nil {
				t.Error(err)
				return
			}
			p12, _ := base64.StdEncoding.DecodeString(got["store.p12"])
			k, leaf, chain, err := pkcs12.DecodeChain(p12, "a password secret/dns/store")
			if err != nil || !key.Equal(k) || leaf.DNSNames[0] != "www.example.com" || len(chain) != 1 {
				t.Errorf("PKCS #12: %v", err)
			}
			jks, _ := base64.StdEncoding.DecodeString(got["store.jks"])
			store, password := keystore.New(), []byte("a password CERTROLL_DNS_STORE")
			if err := store.Load(bytes.NewReader(jks), password); err != nil {
				t.Error(err)
			}
			entry, err := store.GetPrivateKeyEntry("tomcat", password)
			if err != nil || len(entry.CertificateChain) != 2 {
				t.Errorf("JKS: %v", err)
			}
		})
	}
	wg.Wait()
	_, err := f.Render(m, func(spec.Value) (string, error) { return "", errors.New("Vault is sealed") })
	if err == nil || !strings.Contains(err.Error(), "making the field store.jks, at c.hcl:9:21: Vault is sealed") {
		t.Errorf("error: %v", err)
	}
}

// TestReferenceThatMoves: a reference that differs between the sample and a real pair was never checked, so certroll
// does not resolve it.
func TestReferenceThatMoves(t *testing.T) {
	m, _ := material(t)
	f := fieldsOf(t, `{ p12 = pkcs12(vault(cert.next_key_digest != "" ? "secret/dns/a" : "secret/certroll/accounts", "x")) }`)
	_, err := f.Render(m, func(v spec.Value) (string, error) {
		if v.Path != "secret/dns/a" {
			t.Errorf("%s was followed", v.Path)
		}
		return "a password", nil
	})
	if err == nil || !strings.Contains(err.Error(), "not the reference that was checked") {
		t.Errorf("error: %v", err)
	}
}

// TestErrorsQuoteNothing: an expression that works for the sample can fail for a real pair, and the functions' own
// errors quote their arguments.
func TestErrorsQuoteNothing(t *testing.T) {
	m, _ := material(t)
	f := fieldsOf(t, `{
      key    = cert.private_key
      number = tonumber(cert.next_key_digest != "" ? "1" : cert.fullchain)
    }`)
	_, err := f.Render(m, noResolve)
	if err == nil || err.Error() != "making the field number, at c.hcl:9:16: it worked for a sample but not for this certificate (invalid function argument)" {
		t.Errorf("error: %v", err)
	}
	f = fieldsOf(t, `{ a = cert.private_key, b = join("", [for i in range(200) : cert.next_key_digest != "" ? "x" : cert.fullchain]), c = join("", [for i in range(200) : cert.next_key_digest != "" ? "x" : cert.fullchain]) }`)
	if _, err = f.Render(m, noResolve); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("error: %v", err)
	}
	f = fieldsOf(t, `{ p12 = pkcs12(env("CERTROLL_DNS_STORE")) }`)
	if _, err = f.Render(m, func(spec.Value) (string, error) { return "", nil }); err == nil || !strings.Contains(err.Error(), "the password is empty") {
		t.Errorf("error: %v", err)
	}
}

// TestDigest: the digest ignores the layout of an expression. It changes with the result, also through a local, a
// reference or an alias.
func TestDigest(t *testing.T) {
	digest := func(fields, local string) string {
		t.Helper()
		s, diags := Files(t.Context(), []spec.File{{Path: "world.hcl", Bytes: []byte(world)}, {Path: "c.hcl", Bytes: fmt.Appendf(nil, `
locals { name = %q }
certificate "c" {
  domains = ["www.example.com"]
  issuer  = issuer.le
  dns     = dns.main
  vault {
    fields = %s
  }
}`, local, fields)}}, strict)
		if diags.HasErrors() {
			t.Fatal(spectest.Text(diags))
		}
		return s.Certificate("c").Vault.Fields.Digest()
	}
	const first = `{ a = cert.private_key, b = jks(vault("secret/dns/${local.name}", "x"), "web") }`
	if digest(first, "a") != digest("{\n a   = cert.private_key # the key\n b = jks(vault( \"secret/dns/${local.name}\",\"x\"),  \"web\")\n}", "a") {
		t.Error("the layout makes a difference")
	}
	seen := map[string]string{}
	for _, other := range [][2]string{
		{first, "a"}, {first, "b"}, {strings.Replace(first, `"web"`, "local.name", 1), "a"}, {strings.Replace(first, "jks", "pkcs12", 1), "a"},
		{strings.Replace(first, "b =", "c =", 1), "a"}, {strings.Replace(first, "cert.private_key", `"${cert.private_key}${cert.chain}"`, 1), "a"},
		{strings.Replace(first, "cert.private_key", `"${cert.private_key}${cert.ca}"`, 1), "a"},
	} {
		d := digest(other[0], other[1])
		if before := seen[d]; before != "" {
			t.Errorf("%v has the digest of %s", other, before)
		}
		seen[d] = fmt.Sprint(other)
	}
}

func TestBadFields(t *testing.T) {
	for text, want := range map[string]string{
		`{ a = cert.private_key, b = pkcs12("changeit") }`: "the password is a secret, and this file is in Git",
		`{ a = cert.certificate }`:                         "the private key would be nowhere",
		`{ a = cert.privatekey }`:                          "does not have an attribute named",
		`{ a = cert.names }`:                               "a field is a text, not",
		`{ "a/b" = cert.private_key }`:                     "a field's name is made of",
		`{}`:                                               "1 to 64 fields",
		`{ a = cert.private_key, b = vault("secret/dns/a", "x") }`: "Reference not allowed here",
		`{ a = cert.private_key, a = cert.chain }`:                 "The field a is there twice",
		`{ a = jks(vault("secret/dns/a", "x"), "b", "c") }`:        "jks takes a password and an alias",
		`{ a = jks(vault("secret/web", "x")) }`:                    "Reference out of reach",
		`{ a = cert.private_key, b = join("", [for i in range(1000) : cert.fullchain]), c = join("", [for i in range(1000) : cert.fullchain]) }`: "have at most 262144 bytes",
	} {
		_, diags := Files(t.Context(), []spec.File{{Path: "world.hcl", Bytes: []byte(world)}, {Path: "c.hcl", Bytes: fmt.Appendf(nil, `
certificate "c" {
  domains = ["www.example.com"]
  issuer  = issuer.le
  dns     = dns.main
  vault {
    fields = %s
  }
}`, text)}}, strict)
		if !diags.HasErrors() || !strings.Contains(spectest.Text(diags), want) {
			t.Errorf("%s:\n%s\nwant in it: %s", text, spectest.Text(diags), want)
		}
	}
}

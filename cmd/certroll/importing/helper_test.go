package importing

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io/fs"
	"maps"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"certroll/spec"
	"certroll/spec/decode"
)

var now = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// testCA is a root with an intermediate, made for one test run.
type testCA struct {
	root, mid       *x509.Certificate
	rootKey, midKey *ecdsa.PrivateKey
}

var ours = newCA("Test CA")

func newCA(org string) testCA {
	c := testCA{rootKey: keyOf(org + " root"), midKey: keyOf(org + " intermediate")}
	authority := func(name string, serial int64) *x509.Certificate {
		return &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name, Organization: []string{org}},
			NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(5, 0, 0), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	}
	c.root = signed(authority(org+" root", 1), authority(org+" root", 1), c.rootKey.Public(), c.rootKey)
	c.mid = signed(authority(org+" intermediate", 2), c.root, c.midKey.Public(), c.rootKey)
	return c
}

func newECDSA(curve elliptic.Curve) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
}

// keyOf derives a key from a text, so that failures found by fuzzing are reproducible.
func keyOf(text string) *ecdsa.PrivateKey {
	sum := sha256.Sum256([]byte(text))
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), sum[:])
	if err != nil {
		panic(err)
	}
	return key
}

// signed signs deterministically (RFC 6979).
func signed(template, parent *x509.Certificate, public any, by crypto.Signer) *x509.Certificate {
	der, err := x509.CreateCertificate(nil, template, parent, public, by)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return cert
}

// testPair is a leaf of the test's CA in the forms in which tools store it.
type testPair struct {
	leaf                              *x509.Certificate
	cert, chain, full, root, key, old string // PEM; old is the key in its older encoding
}

type pairOptions struct {
	key         crypto.Signer
	notAfter    time.Time
	extension   *pkix.Extension
	emailInSANs bool
	ca          testCA
}

func newPair(o pairOptions, names ...string) testPair {
	if o.key == nil {
		o.key = newECDSA(elliptic.P256())
	}
	if o.notAfter.IsZero() {
		o.notAfter = now.AddDate(0, 0, 60)
	}
	if o.ca.mid == nil {
		o.ca = ours
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(0xa1b2c3), NotBefore: o.notAfter.AddDate(0, 0, -90), NotAfter: o.notAfter}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	if len(template.DNSNames) > 0 {
		template.Subject.CommonName = names[0]
	}
	if o.extension != nil {
		template.ExtraExtensions = append(template.ExtraExtensions, *o.extension)
	}
	if o.emailInSANs {
		template.EmailAddresses = []string{"ops@example.com"}
	}
	p := testPair{leaf: signed(template, o.ca.mid, o.key.Public(), o.ca.midKey)}
	p.cert, p.chain, p.root = pemOf(p.leaf), pemOf(o.ca.mid), pemOf(o.ca.root)
	p.full = p.cert + p.chain
	pkcs8, err := x509.MarshalPKCS8PrivateKey(o.key)
	if err != nil {
		panic(err)
	}
	p.key = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
	switch k := o.key.(type) {
	case *rsa.PrivateKey:
		p.old = string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(k)}))
	case *ecdsa.PrivateKey:
		der, err := x509.MarshalECPrivateKey(k)
		if err != nil {
			panic(err)
		}
		p.old = string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
	}
	return p
}

func pemOf(cert *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}))
}

// tree makes a directory of files.
func tree(files map[string]string) fstest.MapFS {
	dir := fstest.MapFS{}
	for name, content := range files {
		dir[name] = &fstest.MapFile{Data: []byte(content), Mode: 0o600}
	}
	return dir
}

// memory is a fake Vault.
type memory struct {
	secrets map[string]map[string]string
	custom  map[string]map[string]string
	deleted map[string]bool
	writes  int
	err     error

	writeErr error
}

func (m *memory) ReadMetadata(_ context.Context, mount, path string) (int, bool, map[string]string, error) {
	at := mount + "/" + path
	if m.deleted[at] {
		return 3, false, nil, m.err
	}
	_, there := m.secrets[at]
	if !there {
		return 0, false, nil, m.err
	}
	return 1, true, m.custom[at], m.err
}

func (m *memory) List(_ context.Context, mount, path string) ([]string, error) {
	prefix := strings.TrimSuffix(mount+"/"+path, "/") + "/"
	keys := map[string]bool{}
	for at := range m.secrets {
		if rest, ok := strings.CutPrefix(at, prefix); ok {
			key, _, folder := strings.Cut(rest, "/")
			if folder {
				key += "/"
			}
			keys[key] = true
		}
	}
	return slices.Sorted(maps.Keys(keys)), m.err
}

func (m *memory) Read(_ context.Context, mount, path string) (map[string]string, int, error) {
	data, ok := m.secrets[mount+"/"+path]
	if !ok {
		return nil, 0, fmt.Errorf("reading %s/%s: %w", mount, path, fs.ErrNotExist)
	}
	return data, 1, nil
}

func (m *memory) Write(_ context.Context, mount, path string, data map[string]string, cas int) (int, error) {
	if cas != 0 {
		return 0, fmt.Errorf("check-and-set %d: an import writes over nothing", cas)
	}
	if m.writeErr != nil {
		return 0, m.writeErr
	}
	m.writes++
	m.secrets[mount+"/"+path] = data
	return 1, nil
}

func options() Options {
	return Options{Tool: "test", Mount: "secret", Prefix: "tls/", Trust: spec.Trust{Known: true, Mount: "secret", State: "certroll"}}
}

// only returns the single certificate in the findings.
func only(t *testing.T, found *Findings, err error) *Found {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if len(found.Certificates) != 1 {
		t.Fatalf("found %d certificates, want 1", len(found.Certificates))
	}
	return found.Certificates[0]
}

// said fails if no note contains a text.
func said(t *testing.T, notes []string, want string) {
	t.Helper()
	if !slices.ContainsFunc(notes, func(n string) bool { return strings.Contains(n, want) }) {
		t.Errorf("no note says %q:\n%s", want, strings.Join(notes, "\n"))
	}
}

// unsaid fails if a note contains a text.
func unsaid(t *testing.T, notes []string, text string) {
	t.Helper()
	if slices.ContainsFunc(notes, func(n string) bool { return strings.Contains(n, text) }) {
		t.Errorf("a note says %q:\n%s", text, strings.Join(notes, "\n"))
	}
}

// decoded returns the spec from a report's HCL. certroll.hcl allows the given endpoints and the addresses of
// placeholders.
func decoded(t *testing.T, hcl []byte, endpoints ...string) *spec.Spec {
	t.Helper()
	trust := options().Trust
	var why string
	if trust.Endpoints, why = spec.ParseProbeRules(append(endpoints, "acme.example.com:443", "fill-in.example.com:*")); why != "" {
		t.Fatal(why)
	}
	s, diags := decode.Files(t.Context(), []spec.File{{Path: "import.hcl", Bytes: hcl}}, trust)
	if diags.HasErrors() {
		t.Fatalf("the HCL does not decode: %v\n%s", diags, hcl)
	}
	if formatted, _ := spec.Format(hcl, "import.hcl"); string(formatted) != string(hcl) {
		t.Errorf("the HCL is not formatted:\n%s", hcl)
	}
	return s
}

package spec

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/zclconf/go-cty/cty"
)

// Fields says what the secret of a certificate holds: one of the presets, or a
// map of expressions over cert. The zero value is the preset "pem". Fields are
// safe for concurrent use.
type Fields struct {
	preset string
	custom *CustomFields
}

// Material is a pair with its chain, as PEM.
type Material struct {
	Certificate, Chain, FullChain, PrivateKey string
	// NextKeyDigest is the SHA-256 of the SubjectPublicKeyInfo of the key that
	// the next renewal uses, in hex; "" where none is staged.
	NextKeyDigest string
}

// Digest identifies what the fields are made of.
func (f Fields) Digest() string {
	if f.custom != nil {
		return f.custom.digest
	}
	return cmp.Or(f.preset, "pem")
}

// Passwords are the references that keystores among the fields are encrypted by.
func (f Fields) Passwords() []Value {
	if f.custom == nil {
		return nil
	}
	return f.custom.Passwords()
}

// Render makes the fields of a secret. resolve follows the references that
// passwords are; it is asked only where one is needed. An error names the field
// and its place, never a value; it is ErrFields where the expressions fail for
// this certificate.
func (f Fields) Render(m Material, resolve func(Value) (string, error)) (map[string]string, error) {
	p, err := parseMaterial(m)
	if err != nil {
		return nil, err
	}
	if f.custom != nil {
		return f.custom.render(p, resolve)
	}
	preset, _ := presetOf(f.Digest())
	return preset.render(p), nil
}

// parsedPair is a Material and what it says.
type parsedPair struct {
	Material
	leaf  *x509.Certificate
	chain []*x509.Certificate // above the leaf
	key   crypto.Signer
}

func parseMaterial(m Material) (*parsedPair, error) {
	p := &parsedPair{Material: m}
	rest := []byte(m.FullChain)
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("parsing the certificate: %w", err)
		}
		p.chain = append(p.chain, cert)
	}
	if len(p.chain) == 0 {
		return nil, errors.New("parsing the certificate: there is none")
	}
	p.leaf, p.chain = p.chain[0], p.chain[1:]
	block, _ := pem.Decode([]byte(m.PrivateKey))
	if block == nil {
		return nil, errors.New("parsing the private key: it is not PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	signer, ok := key.(crypto.Signer)
	if err != nil || !ok {
		return nil, errors.New("parsing the private key: it is not PKCS #8") // err could hold a part of it
	}
	p.key = signer
	return p, nil
}

// top is the last certificate that the CA sent, PEM; "" where it sent none but
// the leaf. It is an intermediate: ACME CAs leave their root out.
func (p *parsedPair) top() string { return p.above(len(p.chain) - 1) }

func (p *parsedPair) above(i int) string {
	if i < 0 || i >= len(p.chain) {
		return ""
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.chain[i].Raw}))
}

// value is what cert is in the expressions, with a text for its private key.
func (p *parsedPair) value(key string) cty.Value {
	names := slices.Clone(p.leaf.DNSNames)
	for _, ip := range p.leaf.IPAddresses {
		names = append(names, ip.String())
	}
	digest := sha256.Sum256(p.leaf.RawSubjectPublicKeyInfo)
	m := p.Material
	m.PrivateKey = key
	return certValue(m, p.top(), p.serial(), hex.EncodeToString(digest[:]), names, p.leaf.NotBefore, p.leaf.NotAfter)
}

func (p *parsedPair) keyType() string {
	switch p.key.(type) {
	case *rsa.PrivateKey:
		return "rsa"
	case *ecdsa.PrivateKey:
		return "ec"
	}
	return ""
}

// serial is written as OpenSSL and Vault write it: 0a:1b:2c.
func (p *parsedPair) serial() string {
	var parts []string
	for _, b := range p.leaf.SerialNumber.Bytes() {
		parts = append(parts, fmt.Sprintf("%02x", b))
	}
	return strings.Join(parts, ":")
}

// Preset is one of the presets of vault.fields.
type Preset struct {
	Name string
	// Required are the fields by which a secret is recognized as one of the preset;
	// Optional are the others that the preset writes.
	Required, Optional []string
	render             func(*parsedPair) map[string]string
}

// Presets lists the presets in the order of the documentation. All but pem leave empty
// fields out.
var Presets = []Preset{
	{"pem", []string{"certificate", "chain", "fullchain", "private_key"}, nil, func(p *parsedPair) map[string]string {
		return map[string]string{"certificate": p.Certificate, "chain": p.Chain, "fullchain": p.FullChain, "private_key": p.PrivateKey}
	}},
	// A kubernetes.io/tls secret: https://kubernetes.io/docs/concepts/configuration/secret/#tls-secrets.
	{"kubernetes", []string{"tls.crt", "tls.key"}, []string{"ca.crt"}, func(p *parsedPair) map[string]string {
		return nonEmpty(map[string]string{"tls.crt": p.FullChain, "tls.key": p.PrivateKey, "ca.crt": p.top()})
	}},
	// The names of https://developer.hashicorp.com/vault/api-docs/secret/pki#generate-certificate-and-key.
	{"pki", []string{"certificate", "private_key", "serial_number"}, []string{"issuing_ca", "ca_chain", "private_key_type", "expiration"}, func(p *parsedPair) map[string]string {
		return nonEmpty(map[string]string{
			"certificate": p.Certificate, "issuing_ca": p.above(0), "ca_chain": p.Chain, "private_key": p.PrivateKey,
			"private_key_type": p.keyType(), "serial_number": p.serial(), "expiration": strconv.FormatInt(p.leaf.NotAfter.Unix(), 10),
		})
	}},
}

func presetOf(name string) (Preset, bool) {
	i := slices.IndexFunc(Presets, func(p Preset) bool { return p.Name == name })
	if i < 0 {
		return Preset{}, false
	}
	return Presets[i], true
}

// PresetNames lists the names of the presets, in the order of the documentation.
func PresetNames() []string {
	names := make([]string, len(Presets))
	for i, p := range Presets {
		names[i] = p.Name
	}
	return names
}

// PresetFields are the fields of a preset; ok is false where there is none of the name.
func PresetFields(name string) (Fields, bool) {
	_, ok := presetOf(name)
	return Fields{preset: name}, ok
}

func nonEmpty(fields map[string]string) map[string]string {
	for name, value := range fields {
		if value == "" {
			delete(fields, name)
		}
	}
	return fields
}

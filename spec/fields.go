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

// Fields defines the fields of a certificate's secret: one of the presets, or a map of
// expressions over cert. The zero value is the preset "pem". Fields are safe for
// concurrent use.
type Fields struct {
	preset string
	custom *CustomFields
}

// Material is a certificate, its chain and its private key, as PEM.
type Material struct {
	Certificate, Chain, FullChain, PrivateKey string
	// NextKeyDigest is the SHA-256 of the SubjectPublicKeyInfo of the staged key, in hex;
	// "" if no key is staged.
	NextKeyDigest string
}

// Digest identifies the definition of the fields. The plan's digest of the spec includes
// it: changed fields end a hold. They take effect with the next renewal.
func (f Fields) Digest() string {
	if f.custom != nil {
		return f.custom.digest
	}
	return cmp.Or(f.preset, "pem")
}

// Passwords returns the references to the passwords of keystores among the fields.
func (f Fields) Passwords() []Value {
	if f.custom == nil {
		return nil
	}
	return f.custom.Passwords()
}

// Render makes the fields of a secret. It calls resolve for each password reference, if
// there are any. An error names the field and its place in the file, never a value. It
// wraps ErrFields if the expressions fail for this certificate.
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

// parsedPair is a Material with its parsed certificates and key.
type parsedPair struct {
	Material
	leaf  *x509.Certificate
	chain []*x509.Certificate // above the leaf
	key   crypto.Signer
}

// parseMaterial parses the full chain and the private key.
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
		return nil, errors.New("parsing the private key: it is not PKCS #8") // err is dropped: it could quote a part of the key
	}
	p.key = signer
	return p, nil
}

// top returns the last certificate that the CA sent, as PEM; "" if it sent only the leaf.
// It is an intermediate, because ACME CAs leave their root out.
func (p *parsedPair) top() string { return p.above(len(p.chain) - 1) }

// above returns certificate i of the chain above the leaf as PEM, "" if there is none.
func (p *parsedPair) above(i int) string {
	if i < 0 || i >= len(p.chain) {
		return ""
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.chain[i].Raw}))
}

// value returns the object cert of the expressions, with key in place of the private key.
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

// serial formats the serial number like OpenSSL and Vault do: 0a:1b:2c.
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
	// Required are the fields that identify a secret as one of this preset. Optional are
	// the other fields that the preset writes.
	Required, Optional []string
	render             func(*parsedPair) map[string]string
}

// Presets lists the presets in the order of the documentation. All presets but pem leave
// empty fields out.
var Presets = []Preset{
	{"pem", []string{"certificate", "chain", "fullchain", "private_key"}, nil, func(p *parsedPair) map[string]string {
		return map[string]string{"certificate": p.Certificate, "chain": p.Chain, "fullchain": p.FullChain, "private_key": p.PrivateKey}
	}},
	// The keys of a kubernetes.io/tls secret:
	// https://kubernetes.io/docs/concepts/configuration/secret/#tls-secrets.
	{"kubernetes", []string{"tls.crt", "tls.key"}, []string{"ca.crt"}, func(p *parsedPair) map[string]string {
		return nonEmpty(map[string]string{"tls.crt": p.FullChain, "tls.key": p.PrivateKey, "ca.crt": p.top()})
	}},
	// The field names of
	// https://developer.hashicorp.com/vault/api-docs/secret/pki#generate-certificate-and-key.
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

// PresetNames returns the names of the presets in the order of the documentation.
func PresetNames() []string {
	names := make([]string, len(Presets))
	for i, p := range Presets {
		names[i] = p.Name
	}
	return names
}

// PresetFields returns the fields of a preset; ok is false if no preset has this name.
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

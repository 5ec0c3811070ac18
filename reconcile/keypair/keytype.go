package keypair

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"strconv"
	"strings"

	"certroll/spec"
	"certroll/spec/text"
)

// ShapeOf returns the key shape for a spec. What the spec leaves open comes from the
// recorded shape of the first issuance, or else from the default, so that a new default
// does not change existing keys.
func ShapeOf(k spec.Key, recorded string) string {
	algorithm := k.Algorithm
	// A curve or a size implies the algorithm.
	switch {
	case algorithm != "":
	case k.Curve != "":
		algorithm = spec.ECDSA
	case k.Size != 0:
		algorithm = spec.RSA
	}
	was, param, _ := strings.Cut(recorded, "-")
	if algorithm == "" {
		if recorded != "" {
			return recorded
		}
		algorithm = spec.DefaultKey.Algorithm
	}
	// A recorded curve says nothing about an RSA size, and the other way round.
	if spec.Algorithm(was) != algorithm {
		param = ""
	}
	switch algorithm {
	case spec.RSA:
		return "rsa-" + text.FirstOf(nonZero(k.Size), param, "2048")
	default:
		return "ecdsa-" + text.FirstOf(k.Curve, param, spec.DefaultKey.Curve)
	}
}

// nonZero renders a number; "" for 0, which stands for a missing size.
func nonZero(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// curves are the curves that certroll generates keys on.
var curves = map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}

// NewKey generates a private key of a shape.
func NewKey(shape string) (crypto.Signer, error) {
	algorithm, param, _ := strings.Cut(shape, "-")
	switch spec.Algorithm(algorithm) {
	case spec.ECDSA:
		if curve, ok := curves[param]; ok {
			return ecdsa.GenerateKey(curve, rand.Reader)
		}
	case spec.RSA:
		if bits, err := strconv.Atoi(param); err == nil {
			return rsa.GenerateKey(rand.Reader, bits)
		}
	}
	return nil, fmt.Errorf("making a private key: %q is no key shape", shape)
}

// KeyShape returns the shape of a public key; "" for a type that certroll cannot generate.
func KeyShape(pub crypto.PublicKey) string {
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		return "ecdsa-" + k.Curve.Params().Name
	case *rsa.PublicKey:
		return "rsa-" + strconv.Itoa(k.N.BitLen())
	}
	return ""
}

// KeyDigest returns the SHA-256 of a public key's SubjectPublicKeyInfo in hex. TLSA records
// with selector 1 (RFC 6698 section 2.1.2) and pins contain this digest.
func KeyDigest(pub crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return "", fmt.Errorf("encoding a public key: %w", err)
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:]), nil
}

// EncodeKey encodes a private key as PKCS #8 PEM (RFC 7468 section 10).
func EncodeKey(key crypto.Signer) (string, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", fmt.Errorf("encoding a private key: %w", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), nil
}

// DecodeKey decodes a private key from PKCS #8, SEC 1 or PKCS #1 PEM. The error never
// contains a part of the text, because errors reach the ledger.
func DecodeKey(text string) (crypto.Signer, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, fmt.Errorf("the private key is not PEM")
	}
	var key any
	var err error
	// Other programs write keys in these three forms; certroll itself writes PKCS #8.
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	default:
		return nil, fmt.Errorf("the private key is a PEM block of type %q", block.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("the private key of type %q does not parse", block.Type)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("the private key of type %q cannot sign", block.Type)
	}
	return signer, nil
}

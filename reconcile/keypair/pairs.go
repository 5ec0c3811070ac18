package keypair

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"time"

	"certroll/spec"
)

// Material splits a pair into the parts of which the spec's fields are made.
func Material(p Pair) (spec.Material, error) {
	key, err := EncodeKey(p.Key)
	if err != nil {
		return spec.Material{}, err
	}
	var rest strings.Builder
	for _, cert := range p.Chain[1:] {
		rest.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}))
	}
	leaf := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Leaf().Raw}))
	return spec.Material{Certificate: leaf, Chain: rest.String(), FullChain: leaf + rest.String(), PrivateKey: key}, nil
}

// The functions below let a command that takes over existing certificates predict the next
// apply: they make the same checks as adopt.

// FindPair returns a certificate chain, leaf first, and its private key from the fields of
// a secret, like adopt.
func FindPair(data map[string]string) (chain []*x509.Certificate, key crypto.Signer, err error) {
	p, err := FindIn(data)
	return p.Chain, p.Key, err
}

// CheckPair returns the reason for which adopt would refuse a pair for these names.
func CheckPair(chain []*x509.Certificate, key crypto.Signer, names []string, now time.Time) error {
	return Pair{chain, key}.Check(names, now)
}

// MaterialOf is Material for a chain and its key.
func MaterialOf(chain []*x509.Certificate, key crypto.Signer) (spec.Material, error) {
	return Material(Pair{chain, key})
}

// PublicOf returns the public half (DER, SubjectPublicKeyInfo) of a PEM private key, to
// compare keys.
func PublicOf(keyPEM string) ([]byte, error) {
	key, err := DecodeKey(keyPEM)
	if err != nil {
		return nil, err
	}
	return x509.MarshalPKIXPublicKey(key.Public())
}

// PublicKeyDigest returns the digest of a certificate's key; "" for an unsupported key
// type.
func PublicKeyDigest(leaf *x509.Certificate) string {
	digest, err := KeyDigest(leaf.PublicKey)
	if err != nil {
		return ""
	}
	return digest
}

package keypair

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"time"

	"certroll/spec"
)

// Material splits a chain into what fields are made of.
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

// What a command that takes over existing certificates must know of adopting,
// so that it promises nothing that the next apply refuses.

// FindPair looks for a certificate, leaf first, and its private key among the
// fields of a secret, as adopting does.
func FindPair(data map[string]string) (chain []*x509.Certificate, key crypto.Signer, err error) {
	p, err := FindIn(data)
	return p.Chain, p.Key, err
}

// CheckPair tells why adopting would refuse a pair for these names.
func CheckPair(chain []*x509.Certificate, key crypto.Signer, names []string, now time.Time) error {
	return Pair{chain, key}.Check(names, now)
}

// MaterialOf is a pair as the fields of a secret are made from it.
func MaterialOf(chain []*x509.Certificate, key crypto.Signer) (spec.Material, error) {
	return Material(Pair{chain, key})
}

// PublicOf is the public half (DER, SubjectPublicKeyInfo) of a private key in
// any of the usual PEM forms, by which keys are told apart.
func PublicOf(keyPEM string) ([]byte, error) {
	key, err := DecodeKey(keyPEM)
	if err != nil {
		return nil, err
	}
	return x509.MarshalPKIXPublicKey(key.Public())
}

// PublicKeyDigest is the digest of a certificate's key; "" for a kind of key
// that is none of ours.
func PublicKeyDigest(leaf *x509.Certificate) string {
	digest, err := KeyDigest(leaf.PublicKey)
	if err != nil {
		return ""
	}
	return digest
}

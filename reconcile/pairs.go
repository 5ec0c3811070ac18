package reconcile

import (
	"crypto"
	"crypto/x509"
	"time"

	"certroll/spec"
)

// What a command that takes over existing certificates must know of adopting,
// so that it promises nothing that the next apply refuses.

// FindPair looks for a certificate, leaf first, and its private key among the
// fields of a secret, as adopting does.
func FindPair(data map[string]string) (chain []*x509.Certificate, key crypto.Signer, err error) {
	p, err := findIn(data)
	return p.chain, p.key, err
}

// CheckPair tells why adopting would refuse a pair for these names.
func CheckPair(chain []*x509.Certificate, key crypto.Signer, names []string, now time.Time) error {
	return pair{chain, key}.check(names, now)
}

// MaterialOf is a pair as the fields of a secret are made from it.
func MaterialOf(chain []*x509.Certificate, key crypto.Signer) (spec.Material, error) {
	return material(pair{chain, key})
}

// OwnerOf is the certificate that a secret's custom metadata says certroll
// keeps there; "" where it is not certroll's.
func OwnerOf(custom map[string]string) string {
	if custom[metaManagedBy] != managedBy {
		return ""
	}
	return custom[metaCertificate]
}

// PublicOf is the public half (DER, SubjectPublicKeyInfo) of a private key in
// any of the usual PEM forms, by which keys are told apart.
func PublicOf(keyPEM string) ([]byte, error) {
	key, err := decodeKey(keyPEM)
	if err != nil {
		return nil, err
	}
	return x509.MarshalPKIXPublicKey(key.Public())
}

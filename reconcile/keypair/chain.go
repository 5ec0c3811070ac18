package keypair

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// MostCertificates bounds a chain. A CA sends two to four certificates, and each further
// one costs a signature verification.
const MostCertificates = 20

// Leaf returns the index of the certificate for a public key; -1 if there is none.
func Leaf(certs []*x509.Certificate, pub crypto.PublicKey) int {
	key, ok := pub.(interface{ Equal(crypto.PublicKey) bool })
	if !ok {
		return -1
	}
	return slices.IndexFunc(certs, func(c *x509.Certificate) bool { return key.Equal(c.PublicKey) })
}

// Tidy sorts the certificates from a CA into the order that TLS servers send (RFC 8446
// section 4.4.2): first the leaf, which is the certificate for pub, then for each
// certificate its issuer. It drops copies, and certificates outside that path. If several
// signed the same one, such as a CA's certificate and its cross-signed copy, unexpired ones
// at now come first, then the order of the CA counts.
//
// It fails if no certificate is for pub, if there are more than MostCertificates, or if
// there are other certificates and none of them signed the leaf.
func Tidy(certs []*x509.Certificate, pub crypto.PublicKey, now time.Time) ([]*x509.Certificate, error) {
	rest := unique(certs)
	if n := len(rest); n > MostCertificates {
		return nil, fmt.Errorf("the chain has %d different certificates, more than the %d that certroll verifies", n, MostCertificates)
	}
	i := Leaf(rest, pub)
	if i < 0 {
		return nil, errors.New("the certificate is not for this private key")
	}
	path := []*x509.Certificate{rest[i]}
	rest = slices.Delete(rest, i, i+1)
	for !SelfSigned(path[len(path)-1]) {
		i := issuerAmong(rest, path[len(path)-1], now)
		if i < 0 {
			break
		}
		path = append(path, rest[i])
		rest = slices.Delete(rest, i, i+1)
	}
	if len(path) == 1 && len(rest) > 0 {
		return nil, fmt.Errorf("none of the other %d certificates of the chain signed the certificate (its issuer is %q)", len(rest), path[0].Issuer)
	}
	return path, nil
}

// unique returns certs without copies, in the same order.
func unique(certs []*x509.Certificate) []*x509.Certificate {
	seen := make(map[string]bool, len(certs))
	out := make([]*x509.Certificate, 0, len(certs))
	for _, c := range certs {
		if !seen[string(c.Raw)] {
			seen[string(c.Raw)] = true
			out = append(out, c)
		}
	}
	return out
}

// issuerAmong returns the index of the certificate that signed child; -1 if there is none.
func issuerAmong(certs []*x509.Certificate, child *x509.Certificate, now time.Time) int {
	expired := -1
	for i, c := range certs {
		switch {
		case !bytes.Equal(c.RawSubject, child.RawIssuer) || child.CheckSignatureFrom(c) != nil:
		case c.NotAfter.After(now):
			return i
		case expired < 0:
			expired = i
		}
	}
	return expired
}

// SelfSigned reports whether the certificate is a root. Verifiers have their own copy of
// it.
func SelfSigned(c *x509.Certificate) bool {
	return bytes.Equal(c.RawSubject, c.RawIssuer) && c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}

// Ends returns the end of a served chain: the earliest notAfter in it. It ignores a root in
// last place, because clients use their own copy. chain is not empty, leaf first.
func Ends(chain []*x509.Certificate) time.Time { return EndsFirst(chain).NotAfter.UTC() }

// EndsFirst returns the certificate that ends first; the leaf if several end at the same
// time.
func EndsFirst(chain []*x509.Certificate) *x509.Certificate {
	served := chain
	if n := len(chain); n > 1 && SelfSigned(chain[n-1]) {
		served = chain[:n-1]
	}
	return slices.MinFunc(served, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) })
}

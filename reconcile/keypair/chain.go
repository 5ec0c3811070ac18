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

// MostCertificates bounds a chain: a CA sends two to four certificates, and each
// one more costs a signature to verify.
const MostCertificates = 20

// Leaf is where the certificate for a public key stands among certs, -1 where none
// is for it.
func Leaf(certs []*x509.Certificate, pub crypto.PublicKey) int {
	key, ok := pub.(interface{ Equal(crypto.PublicKey) bool })
	if !ok {
		return -1
	}
	return slices.IndexFunc(certs, func(c *x509.Certificate) bool { return key.Equal(c.PublicKey) })
}

// Tidy brings what a CA sent into the order that TLS servers send (RFC 8446
// section 4.4.2): the leaf, which is the certificate for pub, and after each
// certificate the one that signed it. Copies and certificates that signed nothing
// of the path are left out. Of several that signed the same one, as a CA's
// certificate and its cross-signed copy, those that have not expired at now go
// first, then the first in the CA's order.
//
// It fails where nothing is for pub, where there are more than MostCertificates,
// and where there is an issuer for the leaf but none that signed it.
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

// unique are certs without copies, in their order.
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

// issuerAmong is where the certificate stands that signed child, -1 where none did.
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

// SelfSigned tells a root, which everybody who verifies a chain has already.
func SelfSigned(c *x509.Certificate) bool {
	return bytes.Equal(c.RawSubject, c.RawIssuer) && c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}

// Ends is when a chain as it is served ends: the earliest notAfter in it. A root at
// its end is left out, since clients use their own copy. chain is not empty, leaf
// first.
func Ends(chain []*x509.Certificate) time.Time { return EndsFirst(chain).NotAfter.UTC() }

// EndsFirst is the certificate of a chain by which it ends, the leaf where that one
// does not outlive the others.
func EndsFirst(chain []*x509.Certificate) *x509.Certificate {
	served := chain
	if n := len(chain); n > 1 && SelfSigned(chain[n-1]) {
		served = chain[:n-1]
	}
	return slices.MinFunc(served, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) })
}

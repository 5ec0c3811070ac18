package lab

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// CheckPair checks a result independently of certroll's code: the chain's first
// certificate matches the private key (PKCS #8), is for exactly these DNS names, in any
// order, and verifies up to one of the roots. All arguments are PEM. It returns that
// certificate.
func CheckPair(chain, key, roots string, names ...string) (*x509.Certificate, error) {
	certificates, err := parseChain(chain)
	if err != nil {
		return nil, err
	}
	leaf := certificates[0]
	if err := checkKey(leaf, key); err != nil {
		return nil, err
	}
	options := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool()}
	options.Roots.AppendCertsFromPEM([]byte(roots))
	for _, c := range certificates[1:] {
		options.Intermediates.AddCert(c)
	}
	if _, err := leaf.Verify(options); err != nil {
		return nil, fmt.Errorf("the chain does not end at a root: %w", err)
	}
	return leaf, checkNames(leaf, names)
}

func parseChain(text string) ([]*x509.Certificate, error) {
	var chain []*x509.Certificate
	for block, rest := pem.Decode([]byte(text)); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d of the chain: %w", len(chain)+1, err)
		}
		chain = append(chain, c)
	}
	if len(chain) == 0 {
		return nil, errors.New("there is no certificate")
	}
	return chain, nil
}

func checkKey(leaf *x509.Certificate, text string) error {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return errors.New("there is no private key")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return errors.New("the private key is not PKCS #8") // the parser's error could quote the key
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return errors.New("the private key cannot sign")
	}
	public, ok := signer.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(leaf.PublicKey) {
		return errors.New("the private key is not the certificate's")
	}
	return nil
}

func checkNames(leaf *x509.Certificate, names []string) error {
	got, want := slices.Sorted(slices.Values(leaf.DNSNames)), slices.Sorted(slices.Values(names))
	if !slices.Equal(got, want) {
		return fmt.Errorf("the certificate is for %s, not for %s", strings.Join(got, " "), strings.Join(want, " "))
	}
	return nil
}

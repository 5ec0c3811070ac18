package spec

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/pavlo-v-chernykh/keystore-go/v4"
	"software.sslmate.com/src/go-pkcs12"
)

// defaultAlias is the name of the entry in a JKS keystore if the expression gives no
// alias.
const defaultAlias = "certificate"

// errKeystore marks errors of the keystore encoders. Their text depends on the password
// and the alias, not on the key.
var errKeystore = errors.New("encoding a keystore")

// keystores encode a pair with its chain as a keystore, in base64 (RFC 4648 section 4)
// because the values of KV v2 are texts.
var keystores = map[string]func(p *parsedPair, password, alias string) (string, error){
	"pkcs12": makePKCS12,
	"jks":    makeJKS,
}

// makePKCS12 encrypts with AES-256-CBC by PBES2 (RFC 8018), which every current OpenSSL,
// Java and Windows reads. The encoder writes no alias.
func makePKCS12(p *parsedPair, password, _ string) (string, error) {
	der, err := pkcs12.Modern.Encode(p.key, p.leaf, p.chain, password)
	if err != nil {
		return "", fmt.Errorf("%w of PKCS #12: %w", errKeystore, err)
	}
	return base64.StdEncoding.EncodeToString(der), nil
}

// makeJKS encodes a Java keystore. The entry's creation time is the certificate's
// notBefore: the package reads no clock here.
func makeJKS(p *parsedPair, password, alias string) (string, error) {
	key, err := x509.MarshalPKCS8PrivateKey(p.key)
	if err != nil {
		return "", fmt.Errorf("encoding the private key: %w", err)
	}
	chain := []keystore.Certificate{{Type: "X509", Content: p.leaf.Raw}}
	for _, cert := range p.chain {
		chain = append(chain, keystore.Certificate{Type: "X509", Content: cert.Raw})
	}
	store := keystore.New()
	entry := keystore.PrivateKeyEntry{CreationTime: p.leaf.NotBefore, PrivateKey: key, CertificateChain: chain}
	if err := store.SetPrivateKeyEntry(alias, entry, []byte(password)); err != nil {
		return "", fmt.Errorf("%w for Java: %w", errKeystore, err)
	}
	var buf bytes.Buffer
	if err := store.Store(&buf, []byte(password)); err != nil {
		return "", fmt.Errorf("%w for Java: %w", errKeystore, err)
	}
	return base64.StdEncoding.EncodeToString(buf.Bytes()), nil
}

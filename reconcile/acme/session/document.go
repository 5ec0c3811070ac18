package session

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"net/url"
	"strings"
)

// The fields of an account's document.
const (
	FieldSchema     = "schema"      // "1"
	FieldDirectory  = "directory"   // the CA's directory; informative
	FieldContact    = "contact"     // the email last sent to the CA
	fieldEAB        = "eab_key_id"  // informative
	FieldKey        = "private_key" // PEM, PKCS #8, ECDSA P-256
	FieldURL        = "account_url" // empty until the CA has registered the account
	fieldCreated    = "created"
	fieldRegistered = "registered"
	fieldAccount    = "account"  // the issuer's account setting; absent if unset
	fieldDocument   = "document" // in a pointer: the id of the document that holds the account
	FieldTerms      = "terms"    // the URL of the terms of service agreed to at registration; absent if there were none, or in a document of an earlier version
)

// longestTerms bounds the stored URL of terms of service.
const longestTerms = 1000

// DocumentID returns the id of an issuer's account document. It depends on nothing that
// people edit casually: the directory URL, the issuer's account setting ("" unless a
// team separates its rate limits by it), and the key id of the external account binding.
// So issuers that differ only in profile or contact share an account. The form is
//
//	<host of the directory>-<16 hex digits of SHA-256("certroll account 2" \n directory \n account \n EAB key id)>
func DocumentID(directory, account, eabKeyID string) string {
	return documentID(directory, "certroll account 2", directory, account, eabKeyID)
}

// FormerDocumentID returns the id that earlier versions used, in which the contact was
// part of the identity. The case of the email makes no difference.
func FormerDocumentID(directory, email, eabKeyID string) string {
	return documentID(directory, "certroll account 1", directory, strings.ToLower(email), eabKeyID)
}

func documentID(directory string, parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\n")))
	host := "ca"
	if u, err := url.Parse(directory); err == nil && u.Host != "" {
		host = strings.Map(pathSafe, strings.ToLower(u.Host))
	}
	return host + "-" + hex.EncodeToString(sum[:8])
}

func pathSafe(r rune) rune {
	if r == '.' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
		return r
	}
	return '-'
}

// newKey makes an account key. ES256 is the only algorithm that every CA must support
// (RFC 8555 section 6.2).
func newKey() (string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), nil
}

// parseKey decodes an account key. Its errors never quote the input.
func parseKey(text string) (crypto.Signer, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("its private_key is no PEM block")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("its private_key is no PKCS #8 key")
	}
	signer, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("its private_key is no ECDSA key")
	}
	return signer, nil
}

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
	FieldDirectory  = "directory"   // of the CA; for the reader
	FieldContact    = "contact"     // the email the CA was told last
	fieldEAB        = "eab_key_id"  // for the reader
	FieldKey        = "private_key" // PEM, PKCS #8, ECDSA P-256
	FieldURL        = "account_url" // empty until the CA has answered
	fieldCreated    = "created"
	fieldRegistered = "registered"
	fieldAccount    = "account"  // the name that the issuer gives it; absent where it gives none
	fieldDocument   = "document" // of a pointer: the id of the document that it stands for
	FieldTerms      = "terms"    // the URL of the terms of service agreed to when it was registered; absent where there were none, or before it was kept
)

// longestTerms bounds the URL of terms of service that is kept.
const longestTerms = 1000

// DocumentID names the document of an issuer's account. It depends on nothing that
// people edit: the CA, the name of the account ("" unless the issuer has one, by
// which a team splits its limits), and the external account that it is bound to.
// So issuers that differ in their profile or contact share an account. It reads
//
//	<host of the directory>-<16 hex digits of SHA-256("certroll account 2" \n directory \n account \n EAB key id)>
func DocumentID(directory, account, eabKeyID string) string {
	return documentID(directory, "certroll account 2", directory, account, eabKeyID)
}

// FormerDocumentID is how an account's document was named when the contact was
// part of its identity. The case of the email makes no difference.
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

// newKey makes an account key. ES256 is the one algorithm that RFC 8555
// section 6.2 obliges every CA to take.
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

// parseKey never quotes what it was given.
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

package session

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"testing"
)

// TestKeyAuthorizationAsksNobody checks that a key authorization is computed from the
// token and the thumbprint of the account's key (RFC 8555 section 8.1, RFC 7638),
// without the CA.
func TestKeyAuthorizationAsksNobody(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes() // 4, x, y
	if err != nil {
		t.Fatal(err)
	}
	plain := base64.RawURLEncoding
	sum := sha256.Sum256(fmt.Appendf(nil, `{"crv":"P-256","kty":"EC","x":"%s","y":"%s"}`, plain.EncodeToString(point[1:33]), plain.EncodeToString(point[33:])))
	got, err := (&Session{key: key}).KeyAuthorization("token-1")
	if want := "token-1." + plain.EncodeToString(sum[:]); err != nil || got != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}

package vault

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"testing"
	"time"

	"certroll/examples/lab"
)

const readAll = `path "secret/*" { capabilities = ["create", "read", "update", "delete", "list"] }`

// works tells whether a login may do what its policy says.
func works(t testing.TB, c *Client) error {
	t.Helper()
	_, _, _, err := NewKV(c).ReadMetadata(t.Context(), "secret", "tls/api")
	return err
}

func login(t testing.TB, v *lab.Vault, a Auth) (*Client, error) {
	t.Helper()
	t.Setenv("VAULT_TOKEN", "")
	t.Setenv("HOME", t.TempDir())
	c, err := New(Options{Address: v.Addr, Auth: a})
	if err != nil {
		t.Fatal(err)
	}
	return c, c.Login(t.Context())
}

func TestTokens(t *testing.T) {
	v := server(t)
	_, err := login(t, v, Auth{})
	mustSay(t, err, v, "there is no token", "VAULT_TOKEN", "vault login")
	c, err := login(t, v, Auth{Method: "token-file", TokenFile: write(t, "token", v.Token+"\n")})
	if err != nil || works(t, c) != nil {
		t.Errorf("token file: %v, %v", err, works(t, c))
	}
	_, err = login(t, v, Auth{Method: "token-file", TokenFile: write(t, "token", "")})
	mustSay(t, err, v, "Vault token file", "is empty")
	_, err = login(t, v, Auth{Method: "ldap"})
	mustSay(t, err, v, `"ldap" is no auth method`, "approle")

	t.Setenv("VAULT_TOKEN", "hvs.not-a-token")
	c, err = New(Options{Address: v.Addr})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Login(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustSay(t, works(t, c), v, "403", "the token is not valid any more, or never was")
}

func enableAppRole(t testing.TB, v *lab.Vault, ttl string) Auth {
	t.Helper()
	call(t, v, http.MethodPost, "sys/auth/approle", map[string]string{"type": "approle"}, nil)
	if err := v.WritePolicy(t.Context(), "certroll", readAll); err != nil {
		t.Fatal(err)
	}
	call(t, v, http.MethodPost, "auth/approle/role/certroll", map[string]any{"token_policies": "certroll", "token_ttl": ttl, "token_max_ttl": ttl}, nil)
	var role struct {
		Data struct {
			RoleID string `json:"role_id"`
		} `json:"data"`
	}
	call(t, v, http.MethodGet, "auth/approle/role/certroll/role-id", nil, &role)
	var secret struct {
		Data struct {
			SecretID string `json:"secret_id"`
		} `json:"data"`
	}
	call(t, v, http.MethodPost, "auth/approle/role/certroll/secret-id", nil, &secret)
	return Auth{Method: "approle", RoleID: role.Data.RoleID, SecretIDFile: write(t, "secret-id", secret.Data.SecretID)}
}

func TestAppRole(t *testing.T) {
	v := server(t)
	a := enableAppRole(t, v, "1h")
	c, err := login(t, v, a)
	if err != nil || works(t, c) != nil {
		t.Fatalf("login: %v", err)
	}
	a.SecretIDFile = write(t, "secret-id", "wrong")
	_, err = login(t, v, a)
	mustSay(t, err, v, "logging in to Vault by approle", "invalid", "the credential was refused")
	a.SecretIDFile = ""
	_, err = login(t, v, a)
	mustSay(t, err, v, "there is no secret id", "secret_id_file or secret_id_env")
	a.RoleID = ""
	_, err = login(t, v, a)
	mustSay(t, err, v, "there is no role_id", "auth/approle/role/NAME/role-id")
}

// TestKeep: a token that ends is followed by another login, for as long as the
// process lives.
func TestKeep(t *testing.T) {
	v := server(t)
	c, err := login(t, v, enableAppRole(t, v, "2s"))
	if err != nil {
		t.Fatal(err)
	}
	if until, lifetime := c.TokenLease(); lifetime != 2*time.Second || time.Until(until) > lifetime || time.Until(until) < 0 {
		t.Errorf("the token lives %s, until %s", lifetime, until)
	}
	first := c.api.Token()
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		c.Keep(ctx)
	}()
	for c.api.Token() == first {
		select {
		case <-ctx.Done():
			t.Fatal("it did not log in again")
		case <-time.After(50 * time.Millisecond):
		}
	}
	if err := works(t, c); err != nil {
		t.Error(err)
	}
	stop()
	<-kept
}

// TestJWT logs in with a token signed by a key of the test, as a CI system's
// would be.
func TestJWT(t *testing.T) {
	v := server(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	if err := v.WritePolicy(t.Context(), "certroll", readAll); err != nil {
		t.Fatal(err)
	}
	call(t, v, http.MethodPost, "sys/auth/jwt", map[string]string{"type": "jwt"}, nil)
	call(t, v, http.MethodPost, "auth/jwt/config", map[string]any{
		"jwt_validation_pubkeys": []string{string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))},
	}, nil)
	call(t, v, http.MethodPost, "auth/jwt/role/ci", map[string]any{
		"role_type": "jwt", "user_claim": "sub", "bound_audiences": []string{"vault"}, "bound_subject": "repo:1:ref:main", "token_policies": "certroll",
	}, nil)
	c, err := login(t, v, Auth{Method: "jwt", Role: "ci", JWTFile: write(t, "jwt", sign(t, key, "repo:1:ref:main"))})
	if err != nil || works(t, c) != nil {
		t.Fatalf("login: %v", err)
	}
	t.Setenv("CI_JOB_JWT", sign(t, key, "repo:2:ref:main"))
	_, err = login(t, v, Auth{Method: "jwt", Role: "ci", JWTEnv: "CI_JOB_JWT"})
	mustSay(t, err, v, "logging in to Vault by jwt", "sub", "bound to")
	_, err = login(t, v, Auth{Method: "jwt", Role: "ci", JWTEnv: "NOT_SET"})
	mustSay(t, err, v, "NOT_SET", "is empty")
}

func sign(t testing.TB, key *ecdsa.PrivateKey, subject string) string {
	t.Helper()
	encode := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	now := time.Now()
	body := encode(map[string]string{"alg": "ES256", "typ": "JWT"}) + "." + encode(map[string]any{
		"sub": subject, "aud": "vault", "iss": "test", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	})
	sum := sha256.Sum256([]byte(body))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return body + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func TestUnreachable(t *testing.T) {
	v := server(t)
	c := newClient(t, v, v.Token)
	addr := v.Addr
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	mustSay(t, works(t, c), v, "is Vault up at "+addr, "VAULT_ADDR")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := NewKV(c).List(ctx, "secret", "x"); err == nil || ctx.Err() == nil {
		t.Errorf("after its context ended: %v", err)
	}
}

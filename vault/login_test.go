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
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"certroll/examples/lab"
	"certroll/examples/lab/labtest"
)

const readAll = `path "secret/*" { capabilities = ["create", "read", "update", "delete", "list"] }`

// works checks that a login can do what its policy permits.
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
	mustSay(t, works(t, c), v, "403", "the token is not valid any more, or never was: it is VAULT_TOKEN's")
}

func enableAppRole(t testing.TB, v *lab.Vault, ttl string) Auth {
	t.Helper()
	call(t, v, http.MethodPost, "sys/auth/approle", map[string]string{"type": "approle"}, nil)
	policy := labtest.Policy(t, v, "certroll", readAll)
	call(t, v, http.MethodPost, "auth/approle/role/certroll", map[string]any{"token_policies": policy, "token_ttl": ttl, "token_max_ttl": ttl}, nil)
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
	for _, token := range []string{"hvs.CAESIJnot-a-token", "s.not-a-token"} {
		wrapped := a
		wrapped.SecretIDFile = write(t, "wrapped", token)
		_, err = login(t, v, wrapped)
		mustSay(t, err, v, "invalid", "looks like a Vault token", "vault unwrap -field=secret_id")
		if strings.Contains(err.Error(), "not-a-token") {
			t.Errorf("the error holds the token: %v", err)
		}
	}
	a.SecretIDFile = ""
	_, err = login(t, v, a)
	mustSay(t, err, v, "there is no secret id", "secret_id_file or secret_id_env")
	a.RoleID = ""
	_, err = login(t, v, a)
	mustSay(t, err, v, "there is no role_id", "auth/approle/role/NAME/role-id")
}

// TestKeep: the client logs in again whenever a token expires, for as long as the process lives.
func TestKeep(t *testing.T) {
	v := server(t)
	c, err := login(t, v, enableAppRole(t, v, "2s"))
	if err != nil {
		t.Fatal(err)
	}
	if until, lifetime := c.TokenLease(); lifetime != 2*time.Second || time.Until(until) > lifetime || time.Until(until) < 0 {
		t.Errorf("the token lives %s, until %s", lifetime, until)
	}
	keepUntilAnother(t, c, func() {})
}

// keepUntilAnother runs Keep until the client has a new token. The callback refused can make Vault reject the current
// one.
func keepUntilAnother(t *testing.T, c *Client, refused func()) {
	t.Helper()
	first := c.api.Token()
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	keptAlive := make(chan struct{})
	go func() {
		defer close(keptAlive)
		c.Keep(ctx)
	}()
	refused()
	for c.api.Token() == first {
		select {
		case <-ctx.Done():
			t.Fatal("it did not log in again")
		case <-time.After(10 * time.Millisecond):
		}
	}
	if err := works(t, c); err != nil {
		t.Error(err)
	}
	stop()
	<-keptAlive
}

// TestKeepRevoked: after Vault rejects a call because the token was revoked early, the client logs in again and the
// call continues with the new token.
func TestKeepRevoked(t *testing.T) {
	v := server(t)
	c, err := login(t, v, enableAppRole(t, v, "1h"))
	if err != nil {
		t.Fatal(err)
	}
	keepUntilAnother(t, c, func() {
		call(t, v, http.MethodPost, "auth/token/revoke", map[string]string{"token": c.api.Token()}, nil)
		if err := works(t, c); err != nil {
			t.Error(err)
		}
	})
}

// TestJWT logs in with a token signed by a test key, as a CI system would issue it.
func TestJWT(t *testing.T) {
	v := labtest.RealVault(t)
	key := newKey(t)
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
	c, err := login(t, v, Auth{Method: "jwt", Role: "ci", JWTFile: write(t, "jwt", sign(t, key, ci("repo:1:ref:main")))})
	if err != nil || works(t, c) != nil {
		t.Fatalf("login: %v", err)
	}
	t.Setenv("CI_JOB_JWT", sign(t, key, ci("repo:2:ref:main")))
	_, err = login(t, v, Auth{Method: "jwt", Role: "ci", JWTEnv: "CI_JOB_JWT"})
	mustSay(t, err, v, `logging in to Vault by jwt at auth/jwt as role "ci"`, "bound to", `iss "test", aud "vault", sub "repo:2:ref:main"`)
	_, err = login(t, v, Auth{Method: "jwt", Role: "nobody", JWTEnv: "CI_JOB_JWT"})
	mustSay(t, err, v, `role "nobody" could not be found`, "vault list auth/jwt/role")
	_, err = login(t, v, Auth{Method: "jwt", Mount: "nosuch", Role: "ci", JWTEnv: "CI_JOB_JWT"})
	mustSay(t, err, v, "there is no auth method at auth/nosuch")
	_, err = login(t, v, Auth{Method: "jwt", Role: "ci", JWTFile: write(t, "jwt", "no.such.jwt")})
	mustSay(t, err, v, "Vault answered 400", "bound to")
	_, err = login(t, v, Auth{Method: "jwt", Role: "ci", JWTEnv: "NOT_SET"})
	mustSay(t, err, v, "NOT_SET", "is empty")
}

// TestKubernetes logs in with a service account's token. Vault verifies it at an API server that implements only the
// token review.
func TestKubernetes(t *testing.T) {
	const reviewer = "the-reviewers-own-token"
	v := labtest.RealVault(t)
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review map[string]any
		if r.URL.Path != "/apis/authentication.k8s.io/v1/tokenreviews" || json.NewDecoder(r.Body).Decode(&review) != nil {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		review["status"] = map[string]any{
			"authenticated": r.Header.Get("Authorization") == "Bearer "+reviewer, "audiences": []string{"vault"},
			"user": map[string]string{"username": "system:serviceaccount:certroll:certroll", "uid": "1"},
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		json.NewEncoder(w).Encode(review)
	}))
	defer api.Close()
	if err := v.WritePolicy(t.Context(), "certroll", readAll); err != nil {
		t.Fatal(err)
	}
	call(t, v, http.MethodPost, "sys/auth/kubernetes", map[string]string{"type": "kubernetes"}, nil)
	config := map[string]any{"kubernetes_host": api.URL, "disable_local_ca_jwt": true, "token_reviewer_jwt": reviewer}
	call(t, v, http.MethodPost, "auth/kubernetes/config", config, nil)
	call(t, v, http.MethodPost, "auth/kubernetes/role/certroll", map[string]any{
		"bound_service_account_names": "certroll", "bound_service_account_namespaces": "certroll", "audience": "vault", "token_policies": "certroll",
	}, nil)
	key := newKey(t)
	token := func(name, audience string) Auth {
		claims := ci("system:serviceaccount:certroll:" + name)
		claims["aud"] = []string{audience}
		claims["kubernetes.io"] = map[string]any{"namespace": "certroll", "serviceaccount": map[string]string{"name": name, "uid": "1"}}
		return Auth{Method: "kubernetes", Role: "certroll", JWTFile: write(t, "token", sign(t, key, claims))}
	}
	c, err := login(t, v, token("certroll", "vault"))
	if err != nil || works(t, c) != nil {
		t.Fatalf("login: %v", err)
	}
	_, err = login(t, v, token("certroll", "https://kubernetes.default.svc"))
	mustSay(t, err, v, "Vault answered 403", `aud ["https://kubernetes.default.svc"]`, "vault read auth/kubernetes/role/certroll")
	_, err = login(t, v, token("other", "vault"))
	mustSay(t, err, v, "service account name not authorized", `sub "system:serviceaccount:certroll:other"`)

	delete(config, "token_reviewer_jwt")
	call(t, v, http.MethodPost, "auth/kubernetes/config", config, nil)
	_, err = login(t, v, token("certroll", "vault"))
	mustSay(t, err, v, "token_reviewer_jwt", "system:auth-delegator")
	_, err = login(t, v, Auth{Method: "kubernetes", Role: "certroll"})
	mustSay(t, err, v, serviceAccountToken)
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// ci returns some of the claims in a CI system's token.
func ci(subject string) map[string]any {
	now := time.Now()
	return map[string]any{"sub": subject, "aud": "vault", "iss": "test", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
}

func sign(t testing.TB, key *ecdsa.PrivateKey, claims map[string]any) string {
	t.Helper()
	encode := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	body := encode(map[string]string{"alg": "ES256", "typ": "JWT"}) + "." + encode(claims)
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

// TestCredentialsThatCannotWork: a trailing line break in a credential is reported before certroll contacts Vault, and
// the message contains nothing of the credential.
func TestCredentialsThatCannotWork(t *testing.T) {
	approle := Auth{Method: "approle", RoleID: "role", SecretIDEnv: "SECRET_ID"}
	cases := map[string]struct {
		auth       Auth
		env, value string
		want       string
	}{
		"VAULT_TOKEN":         {Auth{}, "VAULT_TOKEN", "hvs.s3cr3t\n", "VAULT_TOKEN ends in a line break"},
		"secret id":           {approle, "SECRET_ID", "s3cr3t\n", "SECRET_ID, which secret_id_env names, ends in a line break"},
		"secret id, blank":    {approle, "SECRET_ID", "s3cr3t ", "SECRET_ID, which secret_id_env names, ends in a blank"},
		"secret id, empty":    {approle, "SECRET_ID", "", "SECRET_ID, which secret_id_env names, is empty"},
		"role id":             {Auth{Method: "approle", RoleID: "s3cr3t\n", SecretIDEnv: "SECRET_ID"}, "SECRET_ID", "x", "role_id in the auth block ends in a line break"},
		"token file, UTF-16":  {Auth{Method: "token-file", TokenFile: write(t, "token", "s\x003\x00")}, "", "", "token is not UTF-8 text"},
		"secret id file, BOM": {Auth{Method: "approle", RoleID: "role", SecretIDFile: write(t, "id", "\ufeffs3cr3t\n")}, "", "", "id begins with a byte order mark"},
		"JWT":                 {Auth{Method: "jwt", Role: "r", JWTEnv: "JWT"}, "JWT", "s3c\x1br3t", "JWT has a control character in it"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Setenv("VAULT_TOKEN", "")
			t.Setenv("HOME", t.TempDir())
			if c.env != "" {
				t.Setenv(c.env, c.value)
			}
			client, err := New(Options{Address: "http://127.0.0.1:1", Auth: c.auth})
			if err != nil {
				t.Fatal(err)
			}
			if err = client.Login(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3c") {
				t.Errorf("got %v; want in it: %s", err, c.want)
			}
		})
	}
}

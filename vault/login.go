package vault

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/vault/api"
	"github.com/hashicorp/vault/api/auth/approle"

	"certroll/spec/bounded"
	"certroll/spec/credential"
)

// Login logs in. For a token that was given it only makes sure there is one.
func (c *Client) Login(ctx context.Context) error {
	err := c.login(ctx)
	if err == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.logins++
	}
	return err
}

func (c *Client) login(ctx context.Context) error {
	a := c.opts.Auth
	switch a.Method {
	case "", "token":
		return c.useGivenToken()
	case "token-file":
		return c.useTokenFile(a.TokenFile)
	}
	method, err := a.method()
	if err != nil {
		return configError("setting up the login to Vault", err)
	}
	secret, err := c.api.Auth().Login(ctx, method)
	if err != nil {
		return c.refusedLogin(err, method)
	}
	if secret == nil || secret.Auth == nil {
		return &Error{doing: a.loggingIn(), said: "Vault answered without a token", advice: "see the auth mount's settings"}
	}
	c.lasts(secret.Auth)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.secret = secret
	return nil
}

// useGivenToken takes VAULT_TOKEN, else what `vault login` left.
func (c *Client) useGivenToken() error {
	token := os.Getenv("VAULT_TOKEN")
	if token == "" {
		home, err := os.UserHomeDir()
		if err == nil {
			b, readErr := bounded.File(filepath.Join(home, ".vault-token"), bounded.Secret)
			if err = readErr; err == nil {
				token = strings.TrimSpace(string(b))
			}
		}
	}
	if token == "" {
		return &Error{doing: "logging in to Vault at " + c.api.Address(), said: "there is no token",
			advice: "set VAULT_TOKEN, run `vault login`, or set an auth block in certroll.hcl"}
	}
	if err := credential.Check("the environment variable VAULT_TOKEN", token, credential.Token); err != nil && os.Getenv("VAULT_TOKEN") != "" {
		return configError("reading the Vault token", err)
	}
	c.api.SetToken(token)
	return nil
}

func (c *Client) useTokenFile(path string) error {
	token, err := readSecretFile(path)
	if err != nil {
		return configError("reading the Vault token file", err)
	}
	c.api.SetToken(token)
	return nil
}

func readSecretFile(path string) (string, error) {
	b, err := bounded.File(path, bounded.Secret)
	if err != nil {
		return "", err
	}
	s := strings.TrimSpace(string(b))
	if s == "" {
		return "", fmt.Errorf("%s is empty", path)
	}
	return s, credential.Check("the file "+path, s, credential.Token)
}

// mount is where the auth method is, without "auth/".
func (a Auth) mount() string { return cmp.Or(a.Mount, a.Method) }

func (a Auth) loggingIn() string {
	s := "logging in to Vault by " + a.Method + " at auth/" + a.mount()
	if a.Role != "" {
		s += fmt.Sprintf(" as role %q", a.Role)
	}
	return s
}

// method is the auth method with its credentials read afresh: they are
// rotated under a long-lived process.
func (a Auth) method() (api.AuthMethod, error) {
	switch a.Method {
	case "approle":
		if err := a.wholeAppRole(); err != nil {
			return nil, err
		}
		id, err := a.secretID()
		if err != nil {
			return nil, fmt.Errorf("reading the secret id: %w", err)
		}
		return approle.NewAppRoleAuth(a.RoleID, &approle.SecretID{FromString: id}, approle.WithMountPath(a.mount()))
	case "jwt", "kubernetes":
		token, err := a.jwt()
		if err != nil {
			return nil, fmt.Errorf("reading the JWT: %w", err)
		}
		return jwtLogin{path: "auth/" + a.mount() + "/login", role: a.Role, token: token}, nil
	}
	return nil, fmt.Errorf("%q is no auth method: use token-file, approle, jwt or kubernetes", a.Method)
}

// wholeAppRole names the settings that are missing, which Vault's own package
// does in words of its own.
func (a Auth) wholeAppRole() error {
	switch {
	case a.RoleID == "":
		return errors.New("there is no role_id in the auth block: set it to what `vault read auth/" + a.mount() + "/role/NAME/role-id` says")
	case credential.Fault(a.RoleID, credential.Token) != "":
		return credential.Check("role_id in the auth block", a.RoleID, credential.Token)
	case a.SecretIDFile == "" && a.SecretIDEnv == "":
		return errors.New("there is no secret id: set secret_id_file or secret_id_env in the auth block to where it is found")
	}
	return nil
}

// secretID is AppRole's.
func (a Auth) secretID() (string, error) {
	if a.SecretIDFile != "" {
		return readSecretFile(a.SecretIDFile)
	}
	id := os.Getenv(a.SecretIDEnv)
	return id, credential.Check("the environment variable "+a.SecretIDEnv+", which secret_id_env names,", id, credential.Token)
}

// isWrapped tells whether the secret id that is there looks like one of Vault's
// tokens, as a response-wrapping token does:
// https://developer.hashicorp.com/vault/docs/concepts/tokens#token-prefixes
func (a Auth) isWrapped() bool {
	if a.Method != "approle" {
		return false
	}
	id, err := a.secretID()
	return err == nil && (strings.HasPrefix(id, "hvs.") || strings.HasPrefix(id, "s.") || strings.HasPrefix(id, "hvb.") || strings.HasPrefix(id, "b."))
}

// serviceAccountToken is where a pod finds its service account's.
const serviceAccountToken = "/var/run/secrets/kubernetes.io/serviceaccount/token"

// jwt is the token that a CI system or Kubernetes handed out.
func (a Auth) jwt() (string, error) {
	switch {
	case a.JWTFile != "":
		return readSecretFile(a.JWTFile)
	case a.JWTEnv != "":
		token := strings.TrimSpace(os.Getenv(a.JWTEnv))
		if token == "" {
			return "", fmt.Errorf("the environment variable %s, which jwt_env names, is empty", a.JWTEnv)
		}
		return token, credential.Check("the environment variable "+a.JWTEnv, token, credential.Token)
	case a.Method == "kubernetes":
		return readSecretFile(serviceAccountToken)
	}
	return "", errors.New("set jwt_file or jwt_env")
}

// jwtLogin logs in with a JWT. For both methods that take one, the login is
// the same write.
// https://developer.hashicorp.com/vault/api-docs/auth/jwt#jwt-login
// https://developer.hashicorp.com/vault/api-docs/auth/kubernetes#login
type jwtLogin struct{ path, role, token string }

// Login implements api.AuthMethod.
func (l jwtLogin) Login(ctx context.Context, client *api.Client) (*api.Secret, error) {
	return client.Logical().WriteWithContext(ctx, l.path, map[string]any{"role": l.role, "jwt": l.token})
}

// claims are those that roles are bound to most often: who the token is of, and
// for whom. They are no secret, since only the signature makes a token of them.
// It is "" where that cannot be told.
func (l jwtLogin) claims() string {
	parts := strings.Split(l.token, ".")
	if len(parts) != 3 {
		return ""
	}
	var c struct {
		Issuer   string `json:"iss"`
		Audience any    `json:"aud"` // a text, or a list of them: RFC 7519, section 4.1.3
		Subject  string `json:"sub"`
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(b, &c) != nil {
		return ""
	}
	if c.Audience == nil {
		c.Audience = ""
	}
	return fmt.Sprintf("iss %.200q, aud %.200q, sub %.200q", c.Issuer, c.Audience, c.Subject)
}

// refusedLogin says why a login failed, and where to look.
func (c *Client) refusedLogin(err error, method api.AuthMethod) error {
	a := c.opts.Auth
	e := c.explained(err, a.loggingIn())
	status := statusOf(err)
	if e.advice != "" || status != http.StatusForbidden && status != http.StatusBadRequest {
		return e
	}
	// The words of Vault's auth methods jwt and kubernetes for a role that is not there.
	if strings.Contains(e.said, "could not be found") || strings.Contains(e.said, "invalid role name") {
		e.advice = "see role in the auth block of certroll.hcl, and what `vault list auth/" + a.mount() + "/role` shows"
		return e
	}
	denied := status == http.StatusForbidden && strings.HasSuffix(e.said, ": permission denied")
	l, isJWT := method.(jwtLogin)
	switch {
	case denied:
		e.advice = a.denied()
	case isJWT:
		e.advice = "the token was refused: see what the role is bound to (`vault read auth/" + a.mount() + "/role/" + a.Role + "`)"
	case a.isWrapped():
		e.advice = "what was sent as the secret id looks like a Vault token: where it is a wrapping token (vault write -wrap-ttl=...), write what `vault unwrap -field=secret_id` makes of it into the file instead"
	default:
		e.advice = "the credential was refused: see that it is the right one and not used up, and what the auth method's role is bound to"
	}
	if claims := l.claims(); claims != "" {
		e.advice += "; the token has " + claims
	}
	return e
}

// denied is what may be behind a refusal for which Vault gives no reason.
func (a Auth) denied() string {
	s := "Vault gives no reason: there is no auth method at auth/" + a.mount() + " (see mount, and the namespace), or the role's token_bound_cidrs leave this machine out"
	if a.Method == "kubernetes" {
		// Without one it asks by the token itself, which is for Vault alone.
		s += ", or Kubernetes did not vouch for the token; a Vault outside of the cluster asks it with the token_reviewer_jwt of auth/" + a.mount() +
			"/config, of a service account bound to system:auth-delegator"
	}
	return s
}

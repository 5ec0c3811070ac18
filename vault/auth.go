package vault

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/hashicorp/vault/api"
	"github.com/hashicorp/vault/api/auth/approle"

	"certroll/spec/bounded"
	"certroll/spec/credential"
)

// Auth says how to log in, and where what is needed for it is found; no
// secret stands in it.
type Auth struct {
	// Method is "token-file", "approle", "jwt" or "kubernetes"; empty or
	// "token" takes VAULT_TOKEN or ~/.vault-token, as Vault's own CLI does.
	Method    string
	Mount     string // of the auth method, without "auth/"; empty: the method's usual
	TokenFile string // token-file
	RoleID    string // approle
	// SecretIDFile or SecretIDEnv hold AppRole's secret id.
	SecretIDFile, SecretIDEnv string
	Role                      string // jwt, kubernetes
	// JWTFile or JWTEnv hold the token a CI system or Kubernetes handed out;
	// for kubernetes the service account's, unless set.
	JWTFile, JWTEnv string
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

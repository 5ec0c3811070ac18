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

// Auth selects the login method and says where its credentials are. It contains no
// secret.
type Auth struct {
	// Method is "token-file", "approle", "jwt" or "kubernetes". Empty or "token" uses
	// VAULT_TOKEN or ~/.vault-token, like Vault's own CLI.
	Method    string
	Mount     string // of the auth method, without "auth/"; empty: the method's default
	TokenFile string // token-file
	RoleID    string // approle
	// SecretIDFile or SecretIDEnv holds AppRole's secret ID.
	SecretIDFile, SecretIDEnv string
	Role                      string // jwt, kubernetes
	// JWTFile or JWTEnv holds the token that a CI system or Kubernetes issued. The
	// default for kubernetes is the pod's service account token.
	JWTFile, JWTEnv string
}

// mount returns the path of the auth method, without "auth/".
func (a Auth) mount() string { return cmp.Or(a.Mount, a.Method) }

func (a Auth) loggingIn() string {
	s := "logging in to Vault by " + a.Method + " at auth/" + a.mount()
	if a.Role != "" {
		s += fmt.Sprintf(" as role %q", a.Role)
	}
	return s
}

// method returns the auth method. It reads the credentials at each login, because other
// programs rotate them while certroll runs.
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

// wholeAppRole returns an error that names a missing setting. Vault's own package reports
// missing settings without certroll's names for them.
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

// secretID reads AppRole's secret ID.
func (a Auth) secretID() (string, error) {
	if a.SecretIDFile != "" {
		return readSecretFile(a.SecretIDFile)
	}
	id := os.Getenv(a.SecretIDEnv)
	return id, credential.Check("the environment variable "+a.SecretIDEnv+", which secret_id_env names,", id, credential.Token)
}

// isWrapped reports whether the secret ID has the prefix of a Vault token, as a
// response-wrapping token does:
// https://developer.hashicorp.com/vault/docs/concepts/tokens#token-prefixes
func (a Auth) isWrapped() bool {
	if a.Method != "approle" {
		return false
	}
	id, err := a.secretID()
	return err == nil && (strings.HasPrefix(id, "hvs.") || strings.HasPrefix(id, "s.") || strings.HasPrefix(id, "hvb.") || strings.HasPrefix(id, "b."))
}

// serviceAccountToken is the file of a pod's service account token.
const serviceAccountToken = "/var/run/secrets/kubernetes.io/serviceaccount/token"

// jwt reads the token that a CI system or Kubernetes issued.
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

// denied explains a login failure for which Vault gives no reason.
func (a Auth) denied() string {
	s := "Vault gives no reason: there is no auth method at auth/" + a.mount() + " (see mount, and the namespace), or the role's token_bound_cidrs leave this machine out"
	if a.Method == "kubernetes" {
		// Without one, Vault uses the token itself for the review, and the token's
		// audience is Vault alone.
		s += ", or Kubernetes did not vouch for the token; a Vault outside of the cluster asks it with the token_reviewer_jwt of auth/" + a.mount() +
			"/config, of a service account bound to system:auth-delegator"
	}
	return s
}

// readSecretFile reads a file that holds one secret, and trims surrounding space.
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

// jwtLogin logs in with a JWT. The methods jwt and kubernetes use the same request:
// https://developer.hashicorp.com/vault/api-docs/auth/jwt#jwt-login
// https://developer.hashicorp.com/vault/api-docs/auth/kubernetes#login
type jwtLogin struct{ path, role, token string }

// Login implements api.AuthMethod.
func (l jwtLogin) Login(ctx context.Context, client *api.Client) (*api.Secret, error) {
	return client.Logical().WriteWithContext(ctx, l.path, map[string]any{"role": l.role, "jwt": l.token})
}

// claims returns the claims that roles are usually bound to: issuer, audience and
// subject. They are no secret, because a token is valid only with its signature. It
// returns "" if the token cannot be decoded.
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

package vault

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/hashicorp/vault/api/auth/approle"
	"github.com/hashicorp/vault/api/auth/kubernetes"
)

// Options are the settings of a Client. Where one is empty, the usual VAULT_*
// variable speaks: VAULT_ADDR, VAULT_TOKEN, VAULT_NAMESPACE, VAULT_CACERT,
// VAULT_CAPATH, VAULT_CLIENT_CERT, VAULT_CLIENT_KEY, VAULT_TLS_SERVER_NAME,
// VAULT_SKIP_VERIFY.
type Options struct {
	Address, Namespace                    string
	CACert, CAPath, ClientCert, ClientKey string // files
	TLSServerName                         string
	SkipVerify                            bool
	Auth                                  Auth
	Timeout                               time.Duration // of one request; 0: 30 s
	Logger                                *slog.Logger  // nil: none
}

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

// Client is a login to one Vault. It is safe for concurrent use.
type Client struct {
	api  *api.Client
	opts Options
	log  *slog.Logger

	mu     sync.Mutex
	secret *api.Secret // of the last login; nil for a token that was given
	lease  tokenLease
}

const defaultTimeout = 30 * time.Second

// New makes a client. It asks Vault nothing yet.
func New(o Options) (*Client, error) {
	cfg := api.DefaultConfig()
	if cfg.Error != nil {
		return nil, configError("reading the VAULT_* variables", cfg.Error)
	}
	if o.Address != "" {
		cfg.Address = o.Address
	}
	cfg.Timeout = o.Timeout
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultTimeout
	}
	cfg.MaxRetries = 2
	if err := configureTLS(cfg, o); err != nil {
		return nil, configError("setting up TLS to Vault", err)
	}
	client, err := api.NewClient(cfg)
	if err != nil {
		return nil, configError("setting up the Vault client", err)
	}
	if o.Namespace != "" {
		client.SetNamespace(o.Namespace)
	}
	// A performance standby may lag behind what this client just wrote.
	client.SetReadYourWrites(true)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Client{api: client, opts: o, log: o.Logger}, nil
}

// Name tells one Vault from another: its address, and the namespace.
func (c *Client) Name() string {
	if ns := c.api.Namespace(); ns != "" {
		return c.api.Address() + " namespace " + ns
	}
	return c.api.Address()
}

// configureTLS lays the options over what the VAULT_* variables said, and
// keeps enough connections open for the reads that go side by side.
func configureTLS(cfg *api.Config, o Options) error {
	if o.CACert != "" || o.CAPath != "" || o.ClientCert != "" || o.ClientKey != "" || o.TLSServerName != "" || o.SkipVerify {
		tls := &api.TLSConfig{CACert: o.CACert, CAPath: o.CAPath, ClientCert: o.ClientCert, ClientKey: o.ClientKey,
			TLSServerName: o.TLSServerName, Insecure: o.SkipVerify}
		if err := cfg.ConfigureTLS(tls); err != nil {
			return err
		}
	}
	if t, ok := cfg.HttpClient.Transport.(*http.Transport); ok {
		t.MaxIdleConnsPerHost = 64
	}
	return nil
}

// Login logs in. For a token that was given it only makes sure there is one.
func (c *Client) Login(ctx context.Context) error {
	a := c.opts.Auth
	switch a.Method {
	case "", "token":
		return c.useGivenToken()
	case "token-file":
		return c.useTokenFile(a.TokenFile)
	}
	method, err := c.method()
	if err != nil {
		return err
	}
	secret, err := c.api.Auth().Login(ctx, method)
	if err != nil {
		return c.refusedLogin(err)
	}
	if secret == nil || secret.Auth == nil {
		return &Error{doing: "logging in to Vault by " + a.Method, said: "Vault answered without a token", advice: "see the auth mount's settings"}
	}
	c.lasts(secret.Auth)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.secret = secret
	return nil
}

// refusedLogin says why a login failed.
func (c *Client) refusedLogin(err error) error {
	e := c.explained(err, "logging in to Vault by "+c.opts.Auth.Method)
	if status := statusOf(err); e.advice == "" && (status == http.StatusForbidden || status == http.StatusBadRequest) {
		e.advice = "the credential was refused: see that it is the right one and not used up, what the auth method's role is bound to, and that mount, where the auth block sets it, is that of the auth method (vault auth list)"
	}
	return e
}

// useGivenToken takes VAULT_TOKEN, else what `vault login` left.
func (c *Client) useGivenToken() error {
	token := os.Getenv("VAULT_TOKEN")
	if token == "" {
		home, err := os.UserHomeDir()
		if err == nil {
			b, readErr := os.ReadFile(filepath.Join(home, ".vault-token"))
			if err = readErr; err == nil {
				token = strings.TrimSpace(string(b))
			}
		}
	}
	if token == "" {
		return &Error{doing: "logging in to Vault at " + c.api.Address(), said: "there is no token",
			advice: "set VAULT_TOKEN, run `vault login`, or set an auth block in certroll.hcl"}
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
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	s := strings.TrimSpace(string(b))
	if s == "" {
		return "", fmt.Errorf("%s is empty", path)
	}
	return s, nil
}

// method is the auth method with its credentials read afresh: they are
// rotated under a long-lived process.
func (c *Client) method() (api.AuthMethod, error) {
	a := c.opts.Auth
	var method api.AuthMethod
	var err error
	switch a.Method {
	case "approle":
		if err := a.wholeAppRole(); err != nil {
			return nil, err
		}
		id := &approle.SecretID{FromFile: a.SecretIDFile, FromEnv: a.SecretIDEnv}
		var opts []approle.LoginOption
		if a.Mount != "" {
			opts = append(opts, approle.WithMountPath(a.Mount))
		}
		method, err = approle.NewAppRoleAuth(a.RoleID, id, opts...)
	case "kubernetes":
		var opts []kubernetes.LoginOption
		if a.Mount != "" {
			opts = append(opts, kubernetes.WithMountPath(a.Mount))
		}
		if a.JWTFile != "" {
			opts = append(opts, kubernetes.WithServiceAccountTokenPath(a.JWTFile))
		}
		if a.JWTEnv != "" {
			opts = append(opts, kubernetes.WithServiceAccountTokenEnv(a.JWTEnv))
		}
		method, err = kubernetes.NewKubernetesAuth(a.Role, opts...)
	case "jwt":
		method = jwtAuth(a)
	default:
		err = fmt.Errorf("%q is no auth method: use token-file, approle, jwt or kubernetes", a.Method)
	}
	if err != nil {
		return nil, configError("setting up the login to Vault", err)
	}
	return method, nil
}

// wholeAppRole names the settings that are missing, which Vault's own package
// does in words of its own.
func (a Auth) wholeAppRole() error {
	const doing = "setting up the login to Vault by approle"
	switch {
	case a.RoleID == "":
		return &Error{doing: doing, said: "there is no role_id", advice: "set it in the auth block to what `vault read auth/approle/role/NAME/role-id` says"}
	case a.SecretIDFile == "" && a.SecretIDEnv == "":
		return &Error{doing: doing, said: "there is no secret id", advice: "set secret_id_file or secret_id_env in the auth block to where it is found"}
	}
	return nil
}

// jwtAuth logs in with a JWT, as CI systems hand them out. The api has no
// module for this method; the login is one write.
// https://developer.hashicorp.com/vault/api-docs/auth/jwt#jwt-login
type jwtAuth Auth

// Login implements api.AuthMethod.
func (a jwtAuth) Login(ctx context.Context, client *api.Client) (*api.Secret, error) {
	var token string
	var err error
	switch {
	case a.JWTFile != "":
		token, err = readSecretFile(a.JWTFile)
	case a.JWTEnv != "":
		if token = os.Getenv(a.JWTEnv); token == "" {
			err = fmt.Errorf("the environment variable %s, which jwt_env names, is empty", a.JWTEnv)
		}
	default:
		err = errors.New("set jwt_file or jwt_env")
	}
	if err != nil {
		return nil, fmt.Errorf("reading the JWT: %w", err)
	}
	mount := a.Mount
	if mount == "" {
		mount = "jwt"
	}
	return client.Logical().WriteWithContext(ctx, "auth/"+mount+"/login", map[string]any{"role": a.Role, "jwt": token})
}

// The waits between logins that fail.
const (
	firstRelogin = time.Second
	mostRelogin  = time.Minute
)

// Keep keeps the login alive until ctx ends: it renews the token for as long
// as Vault lets it, and logs in again then. What fails is logged and tried
// again.
func (c *Client) Keep(ctx context.Context) {
	wait := firstRelogin
	for {
		ended, err := c.keepOnce(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil && ended {
			if err = c.Login(ctx); err == nil {
				wait = firstRelogin
				continue
			}
		}
		c.log.Error("keeping the login to Vault", "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = min(2*wait, mostRelogin)
	}
}

// keepOnce renews the token until it ends.
func (c *Client) keepOnce(ctx context.Context) (ended bool, err error) {
	secret, err := c.leased(ctx)
	if err != nil {
		return false, err
	}
	if secret == nil { // a token without an end
		<-ctx.Done()
		return true, nil
	}
	w, err := c.api.NewLifetimeWatcher(&api.LifetimeWatcherInput{Secret: secret})
	if err != nil {
		return false, configError("renewing the Vault token", err)
	}
	go w.Start()
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return true, nil
		case renewed := <-w.RenewCh():
			c.lasts(renewed.Secret.Auth)
		case err := <-w.DoneCh():
			// nil is how a token ends that may not be renewed any further.
			if err != nil {
				c.log.Info("the Vault token is at its end", "error", err)
			}
			return true, nil
		}
	}
}

// leased is the secret to renew; nil where the token has no end. A token that
// was given is looked up, for its time to live.
func (c *Client) leased(ctx context.Context) (*api.Secret, error) {
	c.mu.Lock()
	secret := c.secret
	c.mu.Unlock()
	if secret != nil {
		return secret, nil
	}
	self, err := c.api.Auth().Token().LookupSelfWithContext(ctx)
	if err != nil {
		return nil, c.explain(err, "looking up the Vault token", "auth/token/lookup-self", "read")
	}
	ttl, err := self.TokenTTL()
	if err != nil || ttl == 0 {
		return nil, err
	}
	c.found(self, ttl)
	renewable, err := self.TokenIsRenewable()
	if err != nil {
		return nil, err
	}
	return &api.Secret{Auth: &api.SecretAuth{ClientToken: c.api.Token(), Renewable: renewable, LeaseDuration: int(ttl.Seconds())}}, nil
}

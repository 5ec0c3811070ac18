package vault

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"

	"certroll/spec/bounded"
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
	dead chan struct{} // holds one where a call found the token revoked

	deaths deaths

	mu     sync.Mutex
	logins int         // so far
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
	cfg.Timeout = 0 // each try has its own: waits for a busy Vault are not its time
	cfg.MaxRetries = 2
	cfg.CheckRetry = noRetry
	if err := configureTLS(cfg, o); err != nil {
		return nil, configError("setting up TLS to Vault", err)
	}
	client, err := api.NewClient(cfg)
	if err != nil {
		return nil, configError("setting up the Vault client", err)
	}
	// Only now: the api looks at the transport itself while it is set up.
	c := &Client{api: client, opts: o, log: o.Logger, dead: make(chan struct{}, 1)}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	cfg.HttpClient.Transport = shortAnswers{&patient{next: cfg.HttpClient.Transport, timeout: cmp.Or(o.Timeout, defaultTimeout), login: c.anotherToken}}
	if o.Namespace != "" {
		client.SetNamespace(o.Namespace)
	}
	// A performance standby may lag behind what this client just wrote.
	client.SetReadYourWrites(true)
	return c, nil
}

// maxAnswer bounds what Vault may answer. The longest answer is a list: of 200,000
// secrets in one directory it has about 30 MB.
const maxAnswer = 64 << 20

// shortAnswers ends each answer after maxAnswer bytes: the api reads them whole.
type shortAnswers struct{ next http.RoundTripper }

// RoundTrip is http.RoundTripper's.
func (s shortAnswers) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := s.next.RoundTrip(req)
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{bounded.Reader(resp.Body, maxAnswer), resp.Body}
	}
	return resp, err
}

// CloseIdleConnections lets http.Client do so.
func (s shortAnswers) CloseIdleConnections() {
	if c, ok := s.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// environment are the variables that the api reads and Options has no setting
// for.
var environment = []string{
	"VAULT_AGENT_ADDR", "VAULT_CAPATH", "VAULT_CACERT_BYTES", "VAULT_SKIP_VERIFY", "VAULT_RATE_LIMIT", "VAULT_PROXY_ADDR", "VAULT_HTTP_PROXY", "VAULT_SRV_LOOKUP",
	"VAULT_DISABLE_REDIRECTS", "VAULT_WRAP_TTL", "VAULT_HEADERS", "VAULT_MFA",
}

// FromEnvironment names the variables of the environment that decide how this
// client speaks to Vault: those without a setting, and those whose setting was
// left out.
func (c *Client) FromEnvironment() (names []string) {
	o := c.opts
	for name, setting := range map[string]string{
		"VAULT_ADDR": o.Address, "VAULT_NAMESPACE": o.Namespace, "VAULT_CACERT": o.CACert, "VAULT_CLIENT_CERT": o.ClientCert,
		"VAULT_CLIENT_KEY": o.ClientKey, "VAULT_TLS_SERVER_NAME": o.TLSServerName, "VAULT_TOKEN": o.Auth.Method,
	} {
		if setting == "" && os.Getenv(name) != "" {
			names = append(names, name)
		}
	}
	for _, name := range environment {
		if os.Getenv(name) != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
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
		before := c.loggedIn()
		ended, err := c.keepOnce(ctx)
		if ctx.Err() != nil {
			return
		}
		switch {
		case err == nil && ended && c.loggedIn() != before: // a call did it
			wait = firstRelogin
			continue
		case err == nil && ended:
			if err = c.loginAgain(ctx); err == nil {
				wait = firstRelogin
				continue
			}
		case c.knownDead(err): // of a token that was given: there may be another one by now
			err = errors.Join(err, c.loginAgain(ctx))
		}
		c.log.Error("could not renew the Vault token or log in again; will retry", "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = min(2*wait, mostRelogin)
	}
}

// loggedIn counts the logins.
func (c *Client) loggedIn() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.logins
}

var errRevoked = errors.New("Vault does not know it any more: it was revoked before its time, or Vault was set back")

// loginAgain logs in, and forgets what calls found of the token before. Those
// that are on their way have a moment for it, and a Vault that refuses what it
// just gave is not asked for more at once.
func (c *Client) loginAgain(ctx context.Context) error {
	err := c.Login(ctx)
	select {
	case <-ctx.Done():
	case <-time.After(firstRelogin):
	}
	select {
	case <-c.dead:
	default:
	}
	return err
}

// foundDead wakes Keep, which would otherwise learn that a token was revoked
// when it next renews it, after two thirds of the token's life.
func (c *Client) foundDead() {
	select {
	case c.dead <- struct{}{}:
	default:
	}
}

// keepOnce renews the token until it ends.
func (c *Client) keepOnce(ctx context.Context) (ended bool, err error) {
	secret, err := c.leased(ctx)
	if err != nil {
		return false, err
	}
	if secret == nil { // a token without an end
		select {
		case <-ctx.Done():
		case <-c.dead:
			c.log.Info("the Vault token expired, was revoked or cannot be renewed; logging in again", "error", errRevoked)
		}
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
		case <-c.dead:
			c.log.Info("the Vault token expired, was revoked or cannot be renewed; logging in again", "error", errRevoked)
			return true, nil
		case renewed := <-w.RenewCh():
			c.lasts(renewed.Secret.Auth)
		case err := <-w.DoneCh():
			// nil is how a token ends that may not be renewed any further.
			if err != nil {
				c.log.Info("the Vault token expired, was revoked or cannot be renewed; logging in again", "error", err)
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

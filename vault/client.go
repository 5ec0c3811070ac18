package vault

import (
	"cmp"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"
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

// Client is a login to one Vault. It is safe for concurrent use.
type Client struct {
	api  *api.Client
	opts Options
	log  *slog.Logger
	dead chan struct{} // holds one where a call found the token revoked

	deaths *deaths
	lease  tokenLease

	mu     sync.Mutex
	logins int         // so far
	secret *api.Secret // of the last login; nil for a token that was given
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
	m := o.Auth.Method
	c.deaths = &deaths{api: client, log: c.log, given: m == "" || m == "token", login: c.Login}
	cfg.HttpClient.Transport = shortAnswers{&patient{next: cfg.HttpClient.Transport, timeout: cmp.Or(o.Timeout, defaultTimeout), login: c.deaths.anotherToken}}
	if o.Namespace != "" {
		client.SetNamespace(o.Namespace)
	}
	// A performance standby may lag behind what this client just wrote.
	client.SetReadYourWrites(true)
	return c, nil
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

// TokenLease is when the token ends unless it is renewed before, and how long
// it lived in all from when it was handed out or renewed last. The time is zero
// where the token has no end, or where it is not known yet.
func (c *Client) TokenLease() (until time.Time, lifetime time.Duration) { return c.lease.get() }

// foundDead wakes Keep, which would otherwise learn that a token was revoked
// when it next renews it, after two thirds of the token's life.
func (c *Client) foundDead() {
	select {
	case c.dead <- struct{}{}:
	default:
	}
}

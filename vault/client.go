package vault

import (
	"cmp"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"
	"golang.org/x/sync/semaphore"

	"certroll/spec/bounded"
)

// Options are the settings of a Client. For an empty setting, the usual VAULT_* variable
// applies: VAULT_ADDR, VAULT_TOKEN, VAULT_NAMESPACE, VAULT_CACERT,
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
	dead chan struct{} // has an element if a call found the token dead

	deaths *deaths
	lease  tokenLease

	mu     sync.Mutex
	logins int         // number of logins
	secret *api.Secret // of the last login; nil for a given token
}

// defaultTimeout bounds one try of a request.
const defaultTimeout = 30 * time.Second

// New returns a client. It makes no request yet.
func New(o Options) (*Client, error) {
	if err := regularFiles(o); err != nil {
		return nil, err
	}
	cfg := api.DefaultConfig()
	if cfg.Error != nil {
		return nil, configError("reading the VAULT_* variables", cfg.Error)
	}
	if o.Address != "" {
		cfg.Address = o.Address
	}
	cfg.Timeout = 0 // patient times each try by itself: waits for a busy Vault must not count
	// noRetry takes out the answers that patient waits for.
	cfg.MaxRetries = 2
	cfg.CheckRetry = noRetry
	if err := configureTLS(cfg, o); err != nil {
		return nil, configError("setting up TLS to Vault", err)
	}
	client, err := api.NewClient(cfg)
	if err != nil {
		return nil, configError("setting up the Vault client", err)
	}
	// The transport is wrapped only now, because NewClient inspects it.
	c := &Client{api: client, opts: o, log: o.Logger, dead: make(chan struct{}, 1)}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	m := o.Auth.Method
	c.deaths = &deaths{api: client, log: c.log, given: m == "" || m == "token", login: c.Login, turn: semaphore.NewWeighted(1)}
	cfg.HttpClient.Transport = shortAnswers{&patient{next: cfg.HttpClient.Transport, timeout: cmp.Or(o.Timeout, defaultTimeout), login: c.deaths.anotherToken}}
	if o.Namespace != "" {
		client.SetNamespace(o.Namespace)
	}
	// A performance standby may lag behind this client's own writes.
	client.SetReadYourWrites(true)
	return c, nil
}

// environment lists the variables that the api package reads and Options has no setting
// for.
var environment = []string{
	"VAULT_AGENT_ADDR", "VAULT_CAPATH", "VAULT_CACERT_BYTES", "VAULT_SKIP_VERIFY", "VAULT_RATE_LIMIT", "VAULT_PROXY_ADDR", "VAULT_HTTP_PROXY", "VAULT_SRV_LOOKUP",
	"VAULT_DISABLE_REDIRECTS", "VAULT_WRAP_TTL", "VAULT_HEADERS", "VAULT_MFA",
}

// FromEnvironment returns the names of the environment variables that configure this
// client: variables without a setting, and those whose setting is empty.
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

// Name identifies a Vault: its address and namespace.
func (c *Client) Name() string {
	if ns := c.api.Namespace(); ns != "" {
		return c.api.Address() + " namespace " + ns
	}
	return c.api.Address()
}

// regularFiles checks the files that the api package reads by their names: it would wait for
// ever at a pipe.
func regularFiles(o Options) error {
	type named struct{ setting, path string }
	files := []named{
		{"ca_cert", o.CACert}, {"client_cert", o.ClientCert}, {"client_key", o.ClientKey},
		{"VAULT_CACERT", os.Getenv("VAULT_CACERT")}, {"VAULT_CLIENT_CERT", os.Getenv("VAULT_CLIENT_CERT")}, {"VAULT_CLIENT_KEY", os.Getenv("VAULT_CLIENT_KEY")},
	}
	for _, f := range files {
		if f.path == "" {
			continue
		}
		if err := bounded.Regular(f.path, bounded.Named); err != nil {
			return configError("reading "+f.setting, err)
		}
	}
	// The api package reads the directory only if no other setting names a CA.
	if o.CACert == "" {
		if err := noPipesIn(o.CAPath); err != nil {
			return configError("reading CAPath", err)
		}
	}
	if os.Getenv("VAULT_CACERT") == "" && os.Getenv("VAULT_CACERT_BYTES") == "" {
		if err := noPipesIn(os.Getenv("VAULT_CAPATH")); err != nil {
			return configError("reading VAULT_CAPATH", err)
		}
	}
	return nil
}

// mostCAFiles is the limit on the entries of a directory of CA certificates, with its
// subdirectories.
const mostCAFiles = 100_000

// noPipesIn returns an error if a directory of CA certificates has a pipe or a device at any
// depth. Links are the rule there: c_rehash makes them. The api package reports all other
// mistakes.
func noPipesIn(dir string) error {
	if dir == "" {
		return nil
	}
	entries := 0
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if entries++; entries > mostCAFiles {
			return &os.PathError{Op: "read", Path: dir, Err: fmt.Errorf("it has more than %d entries", mostCAFiles)}
		}
		if err != nil || e.IsDir() {
			return nil //nolint:nilerr // the api package reports it, in its own words
		}
		if info, err := os.Stat(path); err == nil && info.Mode()&(os.ModeNamedPipe|os.ModeDevice) != 0 {
			return bounded.Regular(path, bounded.Named)
		}
		return nil
	})
}

// configureTLS applies the options over the VAULT_* variables. It also keeps enough idle
// connections for concurrent reads.
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

// TokenLease returns when the token expires unless it is renewed, and its lifetime at
// login or the last renewal. The time is zero if the token does not expire or is not
// known yet.
func (c *Client) TokenLease() (until time.Time, lifetime time.Duration) { return c.lease.get() }

// foundDead wakes Keep, which would otherwise notice a revoked token only at its next
// renewal, after two thirds of the token's life.
func (c *Client) foundDead() {
	select {
	case c.dead <- struct{}{}:
	default:
	}
}

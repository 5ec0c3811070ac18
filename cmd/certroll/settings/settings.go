package settings

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"certroll/gitsync"
	"certroll/gitsync/remote"
	"certroll/spec"
	"certroll/spec/bounded"
	"certroll/spec/credential"
	"certroll/spec/decode"
	"certroll/spec/text"
	"certroll/vault"
)

// Settings is certroll.hcl, certroll's own settings. Trust is configured here and never
// in the config repo. It contains no secrets, only the places of secrets.
type Settings struct {
	Repo         *Repo      `hcl:"repo,block"`
	Ledger       *Ledger    `hcl:"ledger,block"`
	Vault        *Vault     `hcl:"vault,block"`
	Trust        *Trust     `hcl:"trust,block"`
	Verify       *Verify    `hcl:"verify,block"` // nil: unsigned commits are accepted
	Log          *Log       `hcl:"log,block"`
	Probe        *Probe     `hcl:"probe,block"`
	Webhooks     []*Webhook `hcl:"webhook,block"`
	Notify       []*Notify  `hcl:"notify,block"`
	StateDir     string     `hcl:"state_dir,optional"`
	IntervalText string     `hcl:"interval,optional"`
	// DecodeTimeoutText bounds the decoding of one revision.
	DecodeTimeoutText string `hcl:"decode_timeout,optional"`
	Parallel          int    `hcl:"parallel,optional"`
	// Listen is the host:port that run serves on; "": none; nil: the default address, if
	// it is free.
	Listen          *string  `hcl:"listen,optional"`
	ListenHosts     []string `hcl:"listen_hosts,optional"`
	ListenTokenEnv  string   `hcl:"listen_token_env,optional"`
	ListenTokenFile string   `hcl:"listen_token_file,optional"`
	// Rest holds the issuer, dns and policy blocks, which package decode reads.
	Rest hcl.Body `hcl:",remain"`

	Interval      time.Duration
	DecodeTimeout time.Duration
	File          *spec.File // nil without a certroll.hcl
	body          *hclsyntax.Body

	Logger *slog.Logger // for problems of a cache; nil in commands that log nothing
}

// GitAuth is an auth block of a repository: how certroll logs in to it.
type GitAuth struct {
	Username   string `hcl:"username,optional"`
	TokenEnv   string `hcl:"token_env,optional"`
	TokenFile  string `hcl:"token_file,optional"`
	SSHKeyFile string `hcl:"ssh_key_file,optional"`
	// SSHKeyPassphraseEnv and SSHKeyPassphraseFile name the place of the key's
	// passphrase.
	SSHKeyPassphraseEnv  string `hcl:"ssh_key_passphrase_env,optional"`
	SSHKeyPassphraseFile string `hcl:"ssh_key_passphrase_file,optional"`
	SSHAgent             bool   `hcl:"ssh_agent,optional"`
	KnownHosts           string `hcl:"known_hosts_file,optional"`
	CABundle             string `hcl:"ca_bundle,optional"`
}

// Repo is the repo block: the config repo.
type Repo struct {
	URL       string `hcl:"url"`
	Ref       string `hcl:"ref,optional"`
	Directory string `hcl:"directory,optional"`
	Depth     int    `hcl:"depth,optional"`
	CacheDir  string `hcl:"cache_dir,optional"`
	// AllowRewrites accepts a head that does not descend from the one before.
	AllowRewrites bool     `hcl:"allow_rewrites,optional"`
	Auth          *GitAuth `hcl:"auth,block"`
}

// Ledger is the ledger block: the repository of the status and the audit log.
type Ledger struct {
	URL         string   `hcl:"url,optional"`
	Branch      string   `hcl:"branch,optional"`
	Directory   string   `hcl:"directory,optional"`
	AuthorName  string   `hcl:"author_name,optional"`
	AuthorEmail string   `hcl:"author_email,optional"`
	SkipCI      *bool    `hcl:"skip_ci,optional"` // true unless set
	Auth        *GitAuth `hcl:"auth,block"`
	Signing     *Signing `hcl:"signing,block"`
}

// Vault is the vault block: Vault's address, and certroll's paths in it.
type Vault struct {
	Address       string     `hcl:"address,optional"`
	Namespace     string     `hcl:"namespace,optional"`
	Mount         string     `hcl:"mount,optional"`  // KV v2 mount of certificates and of certroll's state
	Prefix        string     `hcl:"prefix,optional"` // path of certroll's own state
	CACert        string     `hcl:"ca_cert,optional"`
	ClientCert    string     `hcl:"client_cert,optional"`
	ClientKey     string     `hcl:"client_key,optional"`
	TLSServerName string     `hcl:"tls_server_name,optional"`
	Parallel      int        `hcl:"parallel,optional"` // concurrent reads
	Auth          *VaultAuth `hcl:"auth,block"`
}

// VaultAuth is the auth block of vault: the login method.
type VaultAuth struct {
	Method       string `hcl:"method,label"`
	Mount        string `hcl:"mount,optional"`
	Role         string `hcl:"role,optional"`
	RoleID       string `hcl:"role_id,optional"`
	SecretIDFile string `hcl:"secret_id_file,optional"`
	SecretIDEnv  string `hcl:"secret_id_env,optional"`
	TokenFile    string `hcl:"token_file,optional"`
	JWTFile      string `hcl:"jwt_file,optional"`
	JWTEnv       string `hcl:"jwt_env,optional"`
}

// Trust is the trust block: the limits of the config repo's references and addresses.
type Trust struct {
	Env      []string `hcl:"env,optional"`
	Vault    []string `hcl:"vault,optional"`
	HTTPReq  bool     `hcl:"httpreq,optional"`
	Webroots []string `hcl:"webroots,optional"`
	// Endpoints are the hosts and addresses that issuer and dns blocks of the config
	// repo may connect to.
	Endpoints []string `hcl:"endpoints,optional"`
	// Ambient lets dns blocks of the config repo use the machine's identities.
	Ambient bool `hcl:"ambient,optional"`

	endpoints spec.ProbeRules
}

// Verify is the verify block: the keys whose signed commits certroll accepts.
type Verify struct {
	SSHAllowedSigners string `hcl:"ssh_allowed_signers,optional"`
	OpenPGPKeyring    string `hcl:"openpgp_keyring,optional"`
}

// DefaultFile is the settings file in the working directory.
const DefaultFile = "certroll.hcl"

// InstalledFile is the settings file of an installation by docs/install.md.
const InstalledFile = "/etc/certroll/certroll.hcl"

// firstThere returns the first path that exists, else the first one.
func firstThere(paths ...string) string {
	for _, path := range paths {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			return path
		}
	}
	return paths[0]
}

// Load reads certroll.hcl. A file named by path must exist. The default file may be
// missing; then all settings come from flags and the environment.
func Load(path string) (*Settings, []spec.File, hcl.Diagnostics, error) {
	named := path != ""
	if !named {
		path = firstThere(DefaultFile, InstalledFile)
	}
	s := &Settings{Repo: &Repo{}, Ledger: &Ledger{}, Vault: &Vault{}, Trust: &Trust{}, Log: &Log{}, Probe: &Probe{}}
	src, err := bounded.File(path, bounded.Named)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !named:
		return s, nil, s.complete(hcl.Range{}), nil
	case err != nil:
		return nil, nil, nil, fmt.Errorf("reading certroll's own settings: %w", err)
	}
	s, files, diags := Parse(path, src)
	return s, files, diags, nil
}

// Parse decodes the contents of certroll.hcl.
func Parse(path string, src []byte) (*Settings, []spec.File, hcl.Diagnostics) {
	file := spec.File{Path: path, Bytes: src}
	files := []spec.File{file}
	whole, diags := spec.Parse(file)
	if whole == nil {
		return nil, files, diags
	}
	loaded := &Settings{body: whole}
	body := withoutNameless(whole)
	wrong := append(gohcl.DecodeBody(body, nil, loaded), strangers(body)...)
	wrong = misspeltOnce(whole, src, wrong)
	explainUnsupported(whole, src, wrong)
	loaded.File = &file
	loaded.fill()
	diags = loaded.relativeTo(path)
	diags = append(diags, apartFrom(wrong, whole, loaded.complete(hcl.Range{Filename: path, Start: hcl.InitialPos, End: hcl.InitialPos}))...)
	// Check the blocks of package decode now: their errors are not a revision's.
	ctx, cancel := context.WithTimeout(context.Background(), cmp.Or(loaded.DecodeTimeout, usualDecode))
	defer cancel()
	_, more := decode.Files(ctx, nil, loaded.SpecTrust())
	all := slices.Concat(wrong, diags, more)
	if wrong.HasErrors() {
		loaded = nil
	}
	return loaded, files, all
}

// withoutNameless drops dns blocks without a label, which package decode reads: an HCL
// schema cannot make a label optional.
func withoutNameless(body hcl.Body) hcl.Body {
	whole, ok := body.(*hclsyntax.Body)
	if !ok {
		return body
	}
	part := *whole
	part.Blocks = slices.DeleteFunc(slices.Clone(whole.Blocks), func(b *hclsyntax.Block) bool { return b.Type == "dns" && len(b.Labels) == 0 })
	return &part
}

// strangers reports unknown blocks and settings. Otherwise a policy with a typo in its
// block name would have no effect.
func strangers(body hcl.Body) hcl.Diagnostics {
	schema, _ := gohcl.ImpliedBodySchema(Settings{})
	for _, name := range []string{"issuer", "dns", "policy"} {
		schema.Blocks = append(schema.Blocks, hcl.BlockHeaderSchema{Type: name, LabelNames: []string{"name"}})
	}
	_, diags := body.Content(schema)
	return diags
}

// Usual returns the settings without a certroll.hcl.
func Usual() *Settings {
	s := &Settings{}
	s.fill()
	_ = s.complete(hcl.Range{}) // the defaults are sound
	return s
}

func (s *Settings) fill() {
	if s.Repo == nil {
		s.Repo = &Repo{}
	}
	if s.Ledger == nil {
		s.Ledger = &Ledger{}
	}
	if s.Vault == nil {
		s.Vault = &Vault{}
	}
	if s.Trust == nil {
		s.Trust = &Trust{}
	}
	if s.Log == nil {
		s.Log = &Log{}
	}
	if s.Probe == nil {
		s.Probe = &Probe{}
	}
}

// complete fills in defaults and checks settings against each other. where is the
// position for errors about a setting that is not in the file.
func (s *Settings) complete(where hcl.Range) (diags hcl.Diagnostics) {
	fault := func(setting, summary, format string, args ...any) {
		at := s.place(setting, where)
		diags = append(diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Subject: &at, Detail: fmt.Sprintf(format, args...)})
	}
	if p := s.Vault.Parallel; p < 0 || p > mostReads {
		fault("vault.parallel", "Value out of range", "vault.parallel = %d: it is a number from 1 to %d, or left out for 32.", p, mostReads)
	}
	// "secret/" and "secret" are one mount, as for Vault's own CLI.
	s.Vault.Mount = cmp.Or(strings.Trim(s.Vault.Mount, "/"), "secret")
	s.Vault.Prefix = cmp.Or(strings.Trim(s.Vault.Prefix, "/"), "certroll")
	if a := s.Vault.Auth; a != nil {
		a.Mount = strings.TrimPrefix(strings.Trim(a.Mount, "/"), "auth/")
		if !slices.Contains(authMethods, a.Method) {
			fault("vault.auth", "Unknown auth method", "%q is no auth method: use token-file, approle, jwt or kubernetes.%s", a.Method, text.Meant(a.Method, authMethods))
		}
	}
	if s.Ledger.URL == "" {
		s.Ledger.URL = s.Repo.URL
		if s.Ledger.Auth == nil {
			s.Ledger.Auth = s.Repo.Auth
		}
	}
	if v := s.Verify; v != nil && v.SSHAllowedSigners == "" && v.OpenPGPKeyring == "" {
		fault("verify", "No signers", "The verify block names no keys, so certroll could accept no commit: set ssh_allowed_signers, openpgp_keyring, or both.")
	}
	s.StateDir = cmp.Or(s.StateDir, defaultStateDir())
	diags = append(diags, s.Probe.complete(s.place("probe", where))...)
	var why string
	if s.Trust.endpoints, why = spec.ParseProbeRules(s.Trust.Endpoints); why != "" {
		fault("trust.endpoints", "Invalid endpoint", "trust.endpoints has %s.", why)
	}
	s.IntervalText, s.DecodeTimeoutText = cmp.Or(s.IntervalText, "5m"), cmp.Or(s.DecodeTimeoutText, usualDecode.String())
	var err error
	if s.Interval, err = time.ParseDuration(s.IntervalText); err != nil || s.Interval < time.Second {
		fault("interval", "Invalid interval", "interval = %q is no duration of at least a second; write it like \"5m\".", s.IntervalText)
	}
	if s.DecodeTimeout, err = time.ParseDuration(s.DecodeTimeoutText); err != nil || s.DecodeTimeout < time.Second || s.DecodeTimeout > mostDecode {
		fault("decode_timeout", "Invalid decode_timeout", "decode_timeout = %q is no duration from 1s to %s; write it like \"30s\".", s.DecodeTimeoutText, mostDecode)
		s.DecodeTimeout = usualDecode
	}
	return append(diags, checkNotify(s.Notify)...)
}

// authMethods are the methods of a login to Vault; "" and token use VAULT_TOKEN.
var authMethods = []string{"token-file", "approle", "jwt", "kubernetes", "token", ""}

// usualDecode is the default of decode_timeout.
const usualDecode = 30 * time.Second

// mostReads bounds vault.parallel.
const mostReads = 512

// mostDecode bounds decode_timeout: certroll accepts no newer revision meanwhile.
const mostDecode = time.Hour

// defaultStateDir returns systemd's state directory, else that of the XDG base directory
// specification.
func defaultStateDir() string {
	if dir := os.Getenv("STATE_DIRECTORY"); dir != "" {
		return dir // systemd's StateDirectory=
	}
	if dir := os.Getenv("XDG_STATE_HOME"); dir != "" {
		return filepath.Join(dir, "certroll")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ".certroll"
	}
	return filepath.Join(home, ".local", "state", "certroll")
}

// Auth returns package gitsync's form of the login, with the secrets of the variables. A
// nil GitAuth means the SSH agent.
func (a *GitAuth) Auth() (remote.Auth, error) {
	if a == nil {
		return remote.Auth{SSHAgent: os.Getenv("SSH_AUTH_SOCK") != ""}, nil
	}
	g := remote.Auth{
		Username: a.Username, TokenFile: a.TokenFile, SSHKeyFile: a.SSHKeyFile, SSHAgent: a.SSHAgent,
		KnownHostsFile: a.KnownHosts,
	}
	if isPEM(a.CABundle) {
		g.CABundle = a.CABundle
	} else {
		g.CABundleFile = a.CABundle
	}
	var err error
	if g.SSHKeyPassphrase, err = passphrase("the passphrase of the SSH key for Git", "ssh_key_passphrase_env", a.SSHKeyPassphraseEnv, a.SSHKeyPassphraseFile); err != nil {
		return g, err
	}
	if a.TokenFile == "" && a.TokenEnv != "" {
		if g.Token = os.Getenv(a.TokenEnv); g.Token == "" {
			return g, fmt.Errorf("reading the Git token: the environment variable %s is empty; set it, or fix token_env in certroll.hcl", a.TokenEnv)
		}
		if err := credential.Check("the environment variable "+a.TokenEnv, g.Token, credential.Token); err != nil {
			return g, fmt.Errorf("reading the Git token: %w", err)
		}
	}
	return g, nil
}

// isPEM reports whether s is a bundle itself and not a file name.
func isPEM(s string) bool { return strings.Contains(s, "-----BEGIN") }

// Options returns package vault's form of the settings.
func (v *Vault) Options(log *slog.Logger) vault.Options {
	o := vault.Options{
		Address: v.Address, Namespace: v.Namespace, CACert: v.CACert, ClientCert: v.ClientCert,
		ClientKey: v.ClientKey, TLSServerName: v.TLSServerName, Logger: log,
	}
	if a := v.Auth; a != nil {
		o.Auth = vault.Auth{
			Method: a.Method, Mount: a.Mount, Role: a.Role, RoleID: a.RoleID, SecretIDFile: a.SecretIDFile,
			SecretIDEnv: a.SecretIDEnv, TokenFile: a.TokenFile, JWTFile: a.JWTFile, JWTEnv: a.JWTEnv,
		}
	}
	return o
}

// SpecTrust returns the limits of the config repo.
func (s *Settings) SpecTrust() spec.Trust {
	t := spec.Trust{
		Known: s.File != nil, Env: s.Trust.Env, Vault: s.Trust.Vault, HTTPReq: s.Trust.HTTPReq,
		Endpoints: s.Trust.endpoints, Ambient: s.Trust.Ambient,
		Webroots: s.Trust.Webroots, Probe: s.Probe.Rules, Mount: s.Vault.Mount, State: s.Vault.Prefix, Own: s.ownVariables(),
	}
	if s.File != nil {
		t.Files = []spec.File{*s.File}
	}
	return t
}

// ownVariables returns the environment variables with certroll's own secrets, which the
// config repo must not read.
func (s *Settings) ownVariables() []string {
	var names []string
	for _, a := range []*GitAuth{s.Repo.Auth, s.Ledger.Auth} {
		if a == nil {
			continue
		}
		for _, name := range []string{a.TokenEnv, a.SSHKeyPassphraseEnv} {
			if name != "" {
				names = append(names, name)
			}
		}
	}
	if k := s.Ledger.Signing; k != nil && k.PassphraseEnv != "" {
		names = append(names, k.PassphraseEnv)
	}
	if s.ListenTokenEnv != "" {
		names = append(names, s.ListenTokenEnv)
	}
	for _, w := range s.Webhooks {
		if w.SecretEnv != "" {
			names = append(names, w.SecretEnv)
		}
	}
	for _, n := range s.Notify {
		for _, name := range []string{n.ServiceEnv, n.SecretEnv} {
			if name != "" {
				names = append(names, name)
			}
		}
	}
	if a := s.Vault.Auth; a != nil {
		for _, name := range []string{a.SecretIDEnv, a.JWTEnv} {
			if name != "" {
				names = append(names, name)
			}
		}
	}
	return names
}

// WithoutOwn removes certroll's own certroll.hcl from a directory's files.
func WithoutOwn(files []gitsync.File, s *Settings) []gitsync.File {
	if s.File == nil {
		return files
	}
	rest := files[:0:0]
	for _, f := range files {
		if path.Base(f.Path) != filepath.Base(s.File.Path) || string(f.Bytes) != string(s.File.Bytes) {
			rest = append(rest, f)
		}
	}
	return rest
}

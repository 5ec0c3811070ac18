package lab

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
)

// PebbleOptions are the settings of StartPebble. The zero value is a CA that answers at
// once, never rejects a good nonce and never reuses an authorization, so that tests are
// repeatable.
type PebbleOptions struct {
	Dir string // working directory; "": a temporary one
	// DNS is the CA's resolver ("127.0.0.1:port"). "" is the system's, which does not
	// know the names of the lab.
	DNS         string
	HTTPPort    int // port for http-01 validation; 0: a free port
	TLSPort     int // port for tls-alpn-01 validation; 0: a free port
	NonceReject int // percentage of good nonces that are rejected
	AuthzReuse  int // percentage of valid authorizations that are reused
	// Sleep makes the CA wait some seconds before each validation, as Pebble does by
	// default.
	Sleep bool
	// AlwaysValid makes every challenge succeed without validation.
	AlwaysValid bool
	// Profiles are the ACME profiles by name, with their validity in seconds. Empty: one
	// profile "default" of 90 days.
	Profiles map[string]uint64
	// EAB, if not empty, makes external account binding mandatory. It maps key ids to
	// HMAC keys (base64url).
	EAB map[string]string
	// Blocked are names that the CA rejects by policy.
	Blocked []string
	// RetryAfterAuthz and RetryAfterOrder, if positive, are the seconds in the
	// Retry-After header of pending authorizations and orders.
	RetryAfterAuthz, RetryAfterOrder int
	ChainLength                      int // intermediates between leaf and root; 0 means 1
	AlternateRoots                   int // chains offered in addition to the default one
	Strict                           bool
}

// Pebble is a running Pebble: Let's Encrypt's ACME CA for tests, which keeps everything
// in memory.
type Pebble struct {
	*Process
	Directory  string // URL of the ACME directory
	Management string // URL of the management interface, without trailing slash
	CABundle   string // PEM of the root that signs both URLs' certificate
	HTTPPort   int    // port for http-01 validation
	TLSPort    int    // port for tls-alpn-01 validation

	options PebbleOptions
	dir     workdir
	ports   []*reservation
	client  *http.Client
}

// StartPebble starts a CA with its own root.
func StartPebble(ctx context.Context, o PebbleOptions) (*Pebble, error) {
	dir, err := openDir(o.Dir, "pebble")
	if err != nil {
		return nil, err
	}
	p := &Pebble{options: o, dir: dir}
	if err = p.prepare(); err == nil {
		err = p.run(ctx)
	}
	if err != nil {
		p.cleanUp()
		return nil, err
	}
	return p, nil
}

// prepare chooses the ports and writes the configuration, once for all restarts.
func (p *Pebble) prepare() error {
	for range 4 {
		r, err := reservePort()
		if err != nil {
			return err
		}
		p.ports = append(p.ports, r)
	}
	p.Directory = "https://" + p.ports[0].Addr + "/dir"
	p.Management = "https://" + p.ports[1].Addr
	p.HTTPPort, p.TLSPort = p.options.HTTPPort, p.options.TLSPort
	if p.HTTPPort == 0 {
		p.HTTPPort = p.ports[2].Port
	}
	if p.TLSPort == 0 {
		p.TLSPort = p.ports[3].Port
	}
	cert, key, err := SelfSigned("lab CA for the ACME API")
	if err != nil {
		return fmt.Errorf("making the certificate of Pebble's own API: %w", err)
	}
	p.CABundle = string(cert)
	p.client = clientFor(cert)
	config, err := json.MarshalIndent(p.config(), "", "  ")
	if err != nil {
		return fmt.Errorf("encoding Pebble's configuration: %w", err)
	}
	for name, content := range map[string][]byte{"api.pem": cert, "api-key.pem": key, "pebble.json": config} {
		if err := os.WriteFile(p.path(name), content, 0o600); err != nil {
			return fmt.Errorf("writing Pebble's configuration: %w", err)
		}
	}
	return nil
}

func clientFor(root []byte) *http.Client {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(root)
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true}}
}

func (p *Pebble) path(name string) string { return filepath.Join(p.dir.path, name) }

func (p *Pebble) config() any {
	profiles := map[string]any{}
	for name, seconds := range p.options.Profiles {
		profiles[name] = map[string]any{"description": name, "validityPeriod": seconds}
	}
	if len(profiles) == 0 {
		profiles["default"] = map[string]any{"description": "90 days", "validityPeriod": 90 * 24 * 3600}
	}
	return map[string]any{"pebble": map[string]any{
		"listenAddress":                  p.ports[0].Addr,
		"managementListenAddress":        p.ports[1].Addr,
		"certificate":                    p.path("api.pem"),
		"privateKey":                     p.path("api-key.pem"),
		"httpPort":                       p.HTTPPort,
		"tlsPort":                        p.TLSPort,
		"externalAccountBindingRequired": len(p.options.EAB) > 0,
		"externalAccountMACKeys":         p.options.EAB,
		"domainBlocklist":                p.options.Blocked,
		"keyAlgorithm":                   "ecdsa",
		"profiles":                       profiles,
		"retryAfter":                     map[string]int{"authz": p.options.RetryAfterAuthz, "order": p.options.RetryAfterOrder},
	}}
}

func (p *Pebble) env() []string {
	env := []string{
		"PEBBLE_WFE_NONCEREJECT=" + strconv.Itoa(p.options.NonceReject),
		"PEBBLE_AUTHZREUSE=" + strconv.Itoa(p.options.AuthzReuse),
		"PEBBLE_CHAIN_LENGTH=" + strconv.Itoa(max(1, p.options.ChainLength)),
		"PEBBLE_ALTERNATE_ROOTS=" + strconv.Itoa(p.options.AlternateRoots),
	}
	if !p.options.Sleep {
		env = append(env, "PEBBLE_VA_NOSLEEP=1")
	}
	if p.options.AlwaysValid {
		env = append(env, "PEBBLE_VA_ALWAYS_VALID=1")
	}
	return env
}

func (p *Pebble) run(ctx context.Context) error {
	args := []string{"-config", p.path("pebble.json")}
	if p.options.DNS != "" {
		args = append(args, "-dnsserver", p.options.DNS)
	}
	if p.options.Strict {
		args = append(args, "-strict")
	}
	var err error
	if p.Process, err = start(p.dir.path, p.env(), "pebble", args...); err != nil {
		return err
	}
	return p.ready(ctx, func(ctx context.Context) error {
		if _, err := p.get(ctx, p.Directory); err != nil {
			return err
		}
		_, err := p.Roots(ctx)
		return err
	})
}

// Restart restarts the CA at the same addresses. It loses everything: accounts, orders,
// certificates and its root.
func (p *Pebble) Restart(ctx context.Context) error {
	if err := p.Process.Close(); err != nil {
		return err
	}
	return p.run(ctx)
}

// Close ends the CA.
func (p *Pebble) Close() error {
	err := p.Process.Close()
	p.cleanUp()
	return err
}

func (p *Pebble) cleanUp() {
	for _, r := range p.ports {
		r.release()
	}
	p.dir.remove()
}

// Roots returns the root certificate of the default chain, as PEM.
func (p *Pebble) Roots(ctx context.Context) (string, error) {
	return p.get(ctx, p.Management+"/roots/0")
}

// AlternateRoot returns the root of the nth alternate chain as PEM, from 1.
func (p *Pebble) AlternateRoot(ctx context.Context, n int) (string, error) {
	return p.get(ctx, p.Management+"/roots/"+strconv.Itoa(n))
}

// Client returns an HTTP client that trusts both URLs.
func (p *Pebble) Client() *http.Client { return p.client }

// SetRenewalInfo replaces the CA's answer to requests for a certificate's renewal
// information (RFC 9773). The answer may be any text, even invalid JSON.
func (p *Pebble) SetRenewalInfo(ctx context.Context, certificatePEM, answer string) error {
	body, err := json.Marshal(map[string]string{"Certificate": certificatePEM, "ARIResponse": answer})
	if err != nil {
		return err
	}
	_, err = p.do(ctx, http.MethodPost, p.Management+"/set-renewal-info/", body)
	return err
}

func (p *Pebble) get(ctx context.Context, url string) (string, error) {
	return p.do(ctx, http.MethodGet, url, nil)
}

func (p *Pebble) do(ctx context.Context, method, url string, body []byte) (string, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s %s: %s: %s", method, url, resp.Status, b)
	}
	return string(b), nil
}

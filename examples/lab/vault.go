package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
)

// VaultOptions are the settings of StartVault; the zero value is good.
type VaultOptions struct {
	Dir      string // where the server may write; empty: a temporary directory
	LogLevel string // trace, debug, info (default), warn, error
}

// Vault is a Vault server in dev mode: unsealed, in memory, KV v2 at
// "secret/", gone with its process.
type Vault struct {
	*Process
	Addr      string // "http://127.0.0.1:port"
	Token     string // the root token
	UnsealKey string

	dir  workdir
	port *reservation
}

var unsealKeyLine = regexp.MustCompile(`(?m)^Unseal Key: (\S+)$`)

// StartVault starts a Vault dev server.
func StartVault(ctx context.Context, o VaultOptions) (*Vault, error) {
	dir, err := openDir(o.Dir, "vault")
	if err != nil {
		return nil, err
	}
	v := &Vault{dir: dir, Token: random("lab-root-")}
	if v.port, err = reservePort(); err != nil {
		v.cleanUp()
		return nil, err
	}
	v.Addr = "http://" + v.port.Addr
	if o.LogLevel == "" {
		o.LogLevel = "info"
	}
	v.Process, err = start(dir.path, nil, "vault", "server", "-dev", "-dev-no-store-token",
		"-dev-listen-address="+v.port.Addr, "-dev-root-token-id="+v.Token, "-log-level="+o.LogLevel)
	if err == nil {
		err = v.ready(ctx, v.probe)
	}
	if err != nil {
		v.cleanUp()
		return nil, err
	}
	return v, nil
}

// probe succeeds when Vault is unsealed, has mounted its KV store and has
// printed the unseal key: it does so last.
func (v *Vault) probe(ctx context.Context) error {
	m := unsealKeyLine.FindStringSubmatch(v.Logs())
	if m == nil {
		return errNotReady
	}
	v.UnsealKey = m[1]
	return v.API(ctx, http.MethodGet, "secret/config", nil, nil)
}

// Close ends the server and forgets all that it held.
func (v *Vault) Close() error {
	err := v.Process.Close()
	v.cleanUp()
	return err
}

func (v *Vault) cleanUp() {
	v.port.release()
	v.dir.remove()
}

// Seal seals the server, as an operator would who suspects an intrusion.
func (v *Vault) Seal(ctx context.Context) error {
	return v.API(ctx, http.MethodPut, "sys/seal", nil, nil)
}

// Unseal opens it again.
func (v *Vault) Unseal(ctx context.Context) error {
	return v.API(ctx, http.MethodPut, "sys/unseal", map[string]string{"key": v.UnsealKey}, nil)
}

// WritePolicy creates or replaces an ACL policy written in HCL.
func (v *Vault) WritePolicy(ctx context.Context, name, rules string) error {
	return v.API(ctx, http.MethodPut, "sys/policies/acl/"+name, map[string]string{"policy": rules}, nil)
}

// NewToken makes a token with just the policies named, without "default"'s
// help where none is named so.
func (v *Vault) NewToken(ctx context.Context, ttl string, policies ...string) (string, error) {
	var out struct {
		Auth struct {
			ClientToken string `json:"client_token"`
		} `json:"auth"`
	}
	in := map[string]any{"policies": policies, "ttl": ttl, "no_default_policy": true, "renewable": true}
	err := v.API(ctx, http.MethodPost, "auth/token/create-orphan", in, &out)
	return out.Auth.ClientToken, err
}

// API calls the server as root: path is below /v1/, in and out are JSON and
// may be nil. A status of 400 or more is an error that shows the answer.
func (v *Vault) API(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encoding the body of %s %s: %w", method, path, err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, v.Addr+"/v1/"+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("X-Vault-Token", v.Token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, strings.TrimSpace(string(answer)))
	}
	if out == nil || len(answer) == 0 {
		return nil
	}
	return json.Unmarshal(answer, out)
}

package lab

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// VaultEnv names the environment variable that selects the server. "embedded" is
// labvault, which runs Vault's KV engine and has no policies. "vault" and "bao" are those
// programs, found by Find. Any other value is a program's path. "" selects the first one
// found of vault, bao and labvault.
const VaultEnv = "CERTROLL_LAB_VAULT"

// The names that VaultEnv accepts.
const (
	Embedded = "embedded"
	RealName = "vault"
	BaoName  = "bao"

	embeddedProgram = "labvault"
)

// VaultOptions are the settings of StartVault. The zero value is usable.
type VaultOptions struct {
	Dir      string // working directory; "": a temporary one
	LogLevel string // trace, debug, info (default), warn, error
	Server   string // a value of VaultEnv; "": the variable's
}

// Vault is a Vault server in dev mode: unsealed, in memory, with KV v2 at "secret/". Its
// data dies with its process.
type Vault struct {
	*Process
	Program   string // path of the server's program
	Embedded  bool   // labvault: no policies, every token may do everything
	Addr      string // "http://127.0.0.1:port"
	Token     string // the root token
	UnsealKey string

	dir  workdir
	port *reservation
}

var unsealKeyLine = regexp.MustCompile(`(?m)^Unseal Key: (\S+)$`)

// VaultProgram returns the path of the program that a value of VaultEnv selects, and
// whether it is labvault.
func VaultProgram(choice string) (path string, embedded bool, err error) {
	if choice == "" {
		choice = os.Getenv(VaultEnv)
	}
	switch choice {
	case "":
		for _, name := range []string{RealName, BaoName, embeddedProgram} {
			if path, err := Find(name); err == nil {
				return path, name == embeddedProgram, nil
			}
		}
		path, err = Find(embeddedProgram) // fails, with advice
		return path, true, err
	case Embedded:
		path, err = Find(embeddedProgram)
		return path, true, err
	case RealName, BaoName:
		path, err = Find(choice)
		return path, false, err
	}
	if path, err = exec.LookPath(choice); err != nil || !strings.ContainsRune(choice, filepath.Separator) {
		return "", false, fmt.Errorf("%s=%s: %w; set it to embedded, vault, bao, or the path of a server's program", VaultEnv, choice, ErrMissing)
	}
	if path, err = filepath.Abs(path); err != nil {
		return "", false, err
	}
	return path, filepath.Base(path) == embeddedProgram, nil
}

// StartVault starts a Vault dev server, or the server that the options or the environment
// select.
func StartVault(ctx context.Context, o VaultOptions) (*Vault, error) {
	program, embedded, err := VaultProgram(o.Server)
	if err != nil {
		return nil, err
	}
	dir, err := openDir(o.Dir, "vault")
	if err != nil {
		return nil, err
	}
	v := &Vault{dir: dir, Token: random("lab-root-"), Program: program, Embedded: embedded}
	if v.port, err = reservePort(); err != nil {
		v.cleanUp()
		return nil, err
	}
	v.Addr = "http://" + v.port.Addr
	env, args := v.command(o)
	if v.Process, err = startPath(dir.path, env, program, args...); err == nil {
		err = v.ready(ctx, v.probe)
	}
	if err != nil {
		v.cleanUp()
		return nil, err
	}
	return v, nil
}

// command returns the environment and the arguments of the server.
func (v *Vault) command(o VaultOptions) (env, args []string) {
	if v.Embedded {
		args = []string{"-listen", v.port.Addr}
		if o.LogLevel == "trace" || o.LogLevel == "debug" {
			args = append(args, "-verbose")
		}
		return []string{"VAULT_DEV_ROOT_TOKEN_ID=" + v.Token}, args
	}
	level := cmp.Or(o.LogLevel, "info")
	return nil, []string{"server", "-dev", "-dev-no-store-token",
		"-dev-listen-address=" + v.port.Addr, "-dev-root-token-id=" + v.Token, "-log-level=" + level}
}

// probe succeeds when Vault is unsealed, has mounted its KV store and has printed the
// unseal key, which it does last.
func (v *Vault) probe(ctx context.Context) error {
	m := unsealKeyLine.FindStringSubmatch(v.Logs())
	if m == nil {
		return errNotReady
	}
	v.UnsealKey = m[1]
	return v.API(ctx, http.MethodGet, "secret/config", nil, nil)
}

// Close ends the server. Its data is lost.
func (v *Vault) Close() error {
	err := v.Process.Close()
	v.cleanUp()
	return err
}

func (v *Vault) cleanUp() {
	v.port.release()
	v.dir.remove()
}

// Seal seals the server, as an operator does who suspects an intrusion.
func (v *Vault) Seal(ctx context.Context) error {
	return v.API(ctx, http.MethodPut, "sys/seal", nil, nil)
}

// Unseal unseals the server.
func (v *Vault) Unseal(ctx context.Context) error {
	return v.API(ctx, http.MethodPut, "sys/unseal", map[string]string{"key": v.UnsealKey}, nil)
}

// WritePolicy creates or replaces an ACL policy in HCL. An embedded server has no
// policies and returns an error: such a test needs a real server.
func (v *Vault) WritePolicy(ctx context.Context, name, rules string) error {
	return v.API(ctx, http.MethodPut, "sys/policies/acl/"+name, map[string]string{"policy": rules}, nil)
}

// NewToken creates a token with exactly these policies, without Vault's "default" policy
// unless it is among them.
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

// API calls the server as root. path is below /v1/; in and out are JSON and may be nil. A
// status of 400 or more is an error that contains the answer.
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

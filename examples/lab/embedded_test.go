package lab_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"certroll/examples/lab"
	"certroll/examples/lab/labtest"
)

var update = flag.Bool("update", false, "capture the answers of the real Vault again")

// captured is the file with the answers of the Vault that examples/lab/tools pins.
const (
	captured        = "testdata/vault-1.21.0.txt"
	capturedVersion = "1.21.0"
)

// exchange is one call. {name} in path and body stands for the last value with that
// name in an answer.
type exchange struct {
	token              string // "root", "none", "wrong", or a name in braces
	method, path, body string
}

// exchanges cover every answer of labvault's front, and the engine's calls that pass
// through the front: existence check, nil answers, numbers, raw answers.
var exchanges = []exchange{
	{"none", "GET", "sys/health", ""},
	{"none", "GET", "sys/seal-status", ""},
	{"none", "GET", "secret/data/a", ""},
	{"wrong", "GET", "secret/data/a", ""},
	{"root", "GET", "secret/data/a", ""},
	{"root", "GET", "secret/metadata/a", ""},
	{"root", "LIST", "secret/metadata/", ""},
	{"root", "GET", "secret/metadata?list=true", ""},
	{"root", "PUT", "secret/data/a", `{"data":{"x":"1","n":12345678901234567890},"options":{"cas":0}}`},
	{"root", "PUT", "secret/data/a", `{"data":{"x":"2"},"options":{"cas":0}}`},
	{"root", "PUT", "secret/data/a", `{"data":{"x":"2"},"options":{"cas":"1"}}`},
	{"root", "GET", "secret/data/a", ""},
	{"root", "GET", "secret/data/a?version=1", ""},
	{"root", "GET", "secret/data/a?version=7", ""},
	{"root", "GET", "secret/data/a?version=x", ""},
	{"root", "PUT", "secret/data/a", `{"no":"data"}`},
	{"root", "PUT", "secret/data/a", `{"data":`},
	{"root", "PUT", "secret/data/a", ``},
	{"root", "PUT", "secret/data/a/", `{"data":{}}`},
	{"root", "POST", "secret/metadata/a", `{"custom_metadata":{"k":"v"}}`},
	{"root", "POST", "secret/metadata/a", `{"custom_metadata":{"k":{"not":"a text"}}}`},
	{"root", "POST", "secret/metadata/early", `{"custom_metadata":{"k":"v"},"delete_version_after":"2h","max_versions":3}`},
	{"root", "GET", "secret/metadata/early", ""},
	{"root", "GET", "secret/data/early", ""},
	{"root", "GET", "secret/metadata/a", ""},
	{"root", "PATCH", "secret/data/a", `{"data":{"y":"3"}}`},
	{"root", "PATCH", "secret/data/nothing", `{"data":{"y":"3"}}`},
	{"root", "LIST", "secret/metadata", ""},
	{"root", "DELETE", "secret/data/a", ""},
	{"root", "GET", "secret/data/a", ""},
	{"root", "GET", "secret/metadata/a", ""},
	{"root", "POST", "secret/undelete/a", `{"versions":[3]}`},
	{"root", "POST", "secret/destroy/a", `{"versions":[1]}`},
	{"root", "GET", "secret/data/a?version=1", ""},
	{"root", "GET", "secret/subkeys/a", ""},
	{"root", "DELETE", "secret/metadata/a", ""},
	{"root", "DELETE", "secret/metadata/a", ""},
	{"root", "GET", "secret/config", ""},
	{"root", "POST", "secret/config", `{"max_versions":5}`},
	{"root", "GET", "secret/config", ""},
	{"root", "GET", "secret/a", ""},
	{"root", "PUT", "secret/a", `{"x":"y"}`},
	{"root", "GET", "secret/data", ""},
	{"root", "GET", "nowhere/data/a", ""},
	{"root", "PUT", "nowhere/data/a", `{"data":{}}`},
	{"root", "GET", "secret/data/../a", ""},
	{"root", "POST", "sys/mounts/old", `{"type":"kv","options":{"version":"1"}}`},
	{"root", "POST", "sys/mounts/deep/kv", `{"type":"kv","description":"deep","options":{"version":"2"}}`},
	{"root", "POST", "sys/mounts/deep/kv", `{"type":"kv"}`},
	{"root", "POST", "sys/mounts/pki", `{"type":"pki"}`},
	{"root", "GET", "sys/mounts", ""},
	{"root", "GET", "sys/internal/ui/mounts/old", ""},
	{"root", "GET", "sys/internal/ui/mounts/deep/kv/some/secret", ""},
	{"root", "GET", "sys/internal/ui/mounts/nowhere", ""},
	{"wrong", "GET", "sys/internal/ui/mounts/secret", ""},
	{"none", "GET", "sys/internal/ui/mounts/secret", ""},
	{"root", "GET", "old/x", ""},
	{"root", "PUT", "old/x", `{"k":"v"}`},
	{"root", "GET", "old/x", ""},
	{"root", "LIST", "old", ""},
	{"root", "DELETE", "sys/mounts/old", ""},
	{"root", "GET", "old/x", ""},
	{"root", "POST", "sys/capabilities-self", `{"paths":["secret/data/a","sys/x"]}`},
	{"root", "GET", "auth/token/lookup-self", ""},
	{"wrong", "GET", "auth/token/lookup-self", ""},
	{"root", "POST", "auth/token/create", `{"policies":["root"],"ttl":"1h"}`},
	{"{client_token}", "GET", "auth/token/lookup-self", ""},
	{"{client_token}", "PUT", "auth/token/renew-self", `{}`},
	{"{client_token}", "PUT", "auth/token/revoke-self", ``},
	{"{client_token}", "GET", "auth/token/lookup-self", ""},
	{"root", "POST", "auth/token/create-orphan", `{"policies":["root"],"ttl":"1h","no_default_policy":true,"renewable":true}`},
	{"root", "POST", "auth/token/lookup", `{"token":"{client_token}"}`},
	{"root", "POST", "auth/token/revoke", `{"token":"{client_token}"}`},
	{"root", "POST", "auth/token/lookup", `{"token":"{client_token}"}`},
	{"none", "POST", "auth/approle/login", `{"role_id":"x","secret_id":"y"}`},
	{"root", "POST", "sys/auth/approle", `{"type":"approle"}`},
	{"root", "POST", "sys/auth/approle", `{"type":"approle"}`},
	{"root", "GET", "auth/approle/role/none/role-id", ""},
	{"root", "POST", "auth/approle/role/r", `{"token_ttl":"1h","token_max_ttl":"2h"}`},
	{"root", "GET", "auth/approle/role/r/role-id", ""},
	{"root", "POST", "auth/approle/role/r/secret-id", ""},
	{"none", "POST", "auth/approle/login", `{"role_id":"{role_id}","secret_id":"wrong"}`},
	{"none", "POST", "auth/approle/login", `{"role_id":"{role_id}","secret_id":"{secret_id}"}`},
	{"{client_token}", "POST", "auth/token/renew-self", `{}`},
	{"wrong", "PUT", "sys/seal", ""},
	{"root", "PUT", "sys/seal", ""},
	{"root", "GET", "secret/metadata/early", ""},
	{"none", "GET", "sys/health", ""},
	{"none", "GET", "sys/seal-status", ""},
}

// TestEmbeddedAnswersAsVault: labvault and the real server give the same answer to
// each exchange, and the captured answers are still Vault's.
func TestEmbeddedAnswersAsVault(t *testing.T) {
	vault := labtest.RealVault(t)
	if version := versionOf(t, vault); version != capturedVersion {
		t.Skipf("labvault answers as Vault %s does, and this server is %s", capturedVersion, version)
	}
	said := play(t, vault)
	if *update {
		if err := os.WriteFile(captured, []byte(said), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	same(t, "the real Vault", said, "what was captured", capturedText(t))
	same(t, "labvault", play(t, embedded(t)), "the real Vault", said)
}

// TestEmbeddedAnswersAsCaptured compares with the captured answers, for machines without Vault.
func TestEmbeddedAnswersAsCaptured(t *testing.T) {
	same(t, "labvault", play(t, embedded(t)), "what was captured of Vault", capturedText(t))
}

// embedded starts labvault, whatever the environment chooses for other tests.
func embedded(t *testing.T) *lab.Vault {
	t.Helper()
	t.Setenv(lab.VaultEnv, lab.Embedded)
	return labtest.Vault(t)
}

func capturedText(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(captured)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func versionOf(t *testing.T, v *lab.Vault) string {
	t.Helper()
	var health struct{ Version string }
	if err := v.API(t.Context(), http.MethodGet, "sys/health", nil, &health); err != nil {
		t.Fatal(err)
	}
	return health.Version
}

// same compares two plays exchange by exchange.
func same(t *testing.T, whose, got, whoseWanted, want string) {
	t.Helper()
	a, b := strings.Split(got, "\n> "), strings.Split(want, "\n> ")
	if len(a) != len(b) {
		t.Errorf("%s answered %d calls, %s %d; capture the answers again: go test ./examples/lab -run TestEmbeddedAnswersAsVault -update", whose, len(a), whoseWanted, len(b))
	}
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			t.Errorf("%s:\n> %s\n%s:\n> %s", whose, a[i], whoseWanted, b[i])
		}
	}
}

// play makes all calls and returns them with their answers, without the values that
// differ between servers.
func play(t *testing.T, v *lab.Vault) string {
	t.Helper()
	p := &player{t: t, v: v, known: map[string]string{"root": v.Token, "wrong": "hvs.no-token-of-this-server"}}
	for _, e := range exchanges {
		if strings.HasPrefix(e.path, "deep/kv") || e.path == "secret/data/a" {
			p.settle()
		}
		p.exchange(e)
	}
	return p.text.String()
}

// player keeps the values to which later calls refer.
type player struct {
	t     *testing.T
	v     *lab.Vault
	known map[string]string // by name
	text  strings.Builder
}

// settle waits until every mount is at version 2: a new mount is upgraded for a
// moment.
func (p *player) settle() {
	p.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		err := p.v.API(p.t.Context(), http.MethodGet, "secret/config", nil, nil)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatal(err)
		}
	}
}

var reference = regexp.MustCompile(`\{([a-z_]+)\}`)

func (p *player) fill(s string) string {
	return reference.ReplaceAllStringFunc(s, func(m string) string {
		if value, ok := p.known[strings.Trim(m, "{}")]; ok {
			return value
		}
		return m
	})
}

func (p *player) exchange(e exchange) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, e.method, p.v.Addr+"/v1/"+e.path, strings.NewReader(p.fill(e.body)))
	if err != nil {
		p.t.Fatal(err)
	}
	if token := p.known[strings.Trim(e.token, "{}")]; token != "" {
		req.Header.Set("X-Vault-Token", token)
	}
	if e.method == http.MethodPatch {
		req.Header.Set("Content-Type", "application/merge-patch+json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	fmt.Fprintf(&p.text, "> %s %s (%s) %s\n< %d %s %s\n%s\n", e.method, e.path, e.token, e.body,
		resp.StatusCode, resp.Header.Get("Content-Type"), resp.Header.Get("Cache-Control"), p.normal(body))
}

// normal returns an answer in a normal form, with a placeholder for each value that
// differs between servers.
func (p *player) normal(body []byte) string {
	if len(body) == 0 {
		return "(empty)"
	}
	var v any
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return strings.TrimSpace(string(body))
	}
	b, err := json.MarshalIndent(p.without(v), "", "  ")
	if err != nil {
		p.t.Fatal(err)
	}
	return string(b)
}

// varying lists the fields whose values differ between calls.
var varying = []string{"request_id", "accessor", "uuid", "created_time", "updated_time", "deletion_time", "creation_time", "expire_time", "issue_time",
	"id", "client_token", "client_id", "entity_id", "role_id", "secret_id", "secret_id_accessor", "server_time_utc", "cluster_id", "cluster_name", "build_date", "ttl", "lease_duration"}

// elsewhere lists what labvault lacks: Vault's other mounts, and the fields from its
// registry of plugins.
var elsewhere = []string{"sys/", "cubbyhole/", "identity/", "agent-registry/", "running_plugin_version", "running_sha256", "deprecation_status"}

func (p *player) without(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = p.without(v[i])
		}
	case map[string]any:
		for k, value := range v {
			if slices.Contains(elsewhere, k) {
				delete(v, k)
				continue
			}
			if text, ok := value.(string); ok && text != "" {
				p.known[k] = text
			}
			v[k] = p.without(value)
			if slices.Contains(varying, k) {
				v[k] = kind(value)
			}
		}
	}
	return v
}

// kind reduces a varying value to its type, or to its absence.
func kind(v any) any {
	switch v := v.(type) {
	case string:
		if v == "" {
			return v
		}
		return "(text)"
	case json.Number:
		if v == "0" {
			return v
		}
		return "(number)"
	}
	return v
}

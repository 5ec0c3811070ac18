package main

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"

	"certroll/cmd/certroll/settings"
)

// wires lists every setting of certroll.hcl: how it is written, and the value that must reach the part that uses it.
// TestEverySettingWorks fails for a setting that is not listed.
//
// The written value is VALUE in quotes. A path is written as relative and must arrive as a path next to certroll.hcl.
var wires = map[string]struct {
	value string // "": a text; "path": a relative path; else HCL source
	wire  func(*settings.Settings) any
	want  any // nil: the text or path itself
}{
	"state_dir": {"path", func(s *settings.Settings) any { return s.StateDir }, nil}, "interval": {`"7m"`, func(s *settings.Settings) any { return s.Interval.String() }, "7m0s"},
	"decode_timeout": {`"9s"`, func(s *settings.Settings) any { return s.DecodeTimeout.String() }, "9s"}, "parallel": {"5", func(s *settings.Settings) any { return s.Parallel }, 5},
	"listen": {`"127.0.0.1:1"`, func(s *settings.Settings) any { return s.ListenAddress() }, "127.0.0.1:1"}, "listen_hosts": {`["h.example.com"]`, func(s *settings.Settings) any { return s.ListenHosts[0] }, "h.example.com"},
	"listen_token_env": {"", func(s *settings.Settings) any { return s.ListenTokenEnv }, nil}, "listen_token_file": {"path", func(s *settings.Settings) any { return s.ListenTokenFile }, nil},

	"repo.url": {`"./r.git"`, func(s *settings.Settings) any { return filepath.Base(s.Repo.URL) }, "r.git"}, "repo.ref": {"", func(s *settings.Settings) any { return s.Repo.Ref }, nil}, "repo.directory": {"", func(s *settings.Settings) any { return s.Repo.Directory }, nil},
	"repo.depth": {"3", func(s *settings.Settings) any { return s.Repo.Depth }, 3}, "repo.cache_dir": {"path", func(s *settings.Settings) any { return s.Repo.CacheDir }, nil},
	"repo.allow_rewrites": {"true", func(s *settings.Settings) any { return s.Repo.AllowRewrites }, true},
	"ledger.url":          {`"../l.git"`, func(s *settings.Settings) any { return filepath.Base(s.Ledger.URL) }, "l.git"}, "ledger.branch": {"", func(s *settings.Settings) any { return s.Ledger.Branch }, nil},
	"ledger.directory": {"", func(s *settings.Settings) any { return s.Ledger.Directory }, nil}, "ledger.author_name": {"", func(s *settings.Settings) any { return s.Ledger.AuthorName }, nil},
	"ledger.author_email": {"", func(s *settings.Settings) any { return s.Ledger.AuthorEmail }, nil}, "ledger.skip_ci": {"false", func(s *settings.Settings) any { return *s.Ledger.SkipCI }, false},
	"ledger.signing.ssh_key_file": {"path", func(s *settings.Settings) any { return s.Ledger.Signing.SSHKeyFile }, nil}, "ledger.signing.openpgp_key_file": {"path", func(s *settings.Settings) any { return s.Ledger.Signing.OpenPGPKeyFile }, nil},
	"ledger.signing.passphrase_env": {`"WIRE_ENV"`, func(s *settings.Settings) any { return passphraseOf(s.Ledger.Signing.Passphrase()) }, "from-env"}, "ledger.signing.passphrase_file": {`"wire-file"`, func(s *settings.Settings) any { return passphraseOf(s.Ledger.Signing.Passphrase()) }, "from-file"},

	"vault.address": {"", func(s *settings.Settings) any { return s.Vault.Options(nil).Address }, nil}, "vault.namespace": {"", func(s *settings.Settings) any { return s.Vault.Options(nil).Namespace }, nil},
	"vault.mount": {`"kv/certs/"`, func(s *settings.Settings) any { return s.Vault.Mount + " " + s.SpecTrust().Mount }, "kv/certs kv/certs"}, "vault.prefix": {`"/state/"`, func(s *settings.Settings) any { return s.Vault.Prefix + " " + s.SpecTrust().State }, "state state"},
	"vault.ca_cert": {"path", func(s *settings.Settings) any { return s.Vault.Options(nil).CACert }, nil}, "vault.client_cert": {"path", func(s *settings.Settings) any { return s.Vault.Options(nil).ClientCert }, nil},
	"vault.client_key": {"path", func(s *settings.Settings) any { return s.Vault.Options(nil).ClientKey }, nil}, "vault.tls_server_name": {"", func(s *settings.Settings) any { return s.Vault.Options(nil).TLSServerName }, nil},
	"vault.auth.method": {`"approle"`, func(s *settings.Settings) any { return s.Vault.Options(nil).Auth.Method }, "approle"}, "vault.auth.mount": {`"auth/team/approle/"`, func(s *settings.Settings) any { return s.Vault.Options(nil).Auth.Mount }, "team/approle"},
	"vault.auth.role": {"", func(s *settings.Settings) any { return s.Vault.Options(nil).Auth.Role }, nil}, "vault.auth.role_id": {"", func(s *settings.Settings) any { return s.Vault.Options(nil).Auth.RoleID }, nil},
	"vault.auth.secret_id_file": {"path", func(s *settings.Settings) any { return s.Vault.Options(nil).Auth.SecretIDFile }, nil}, "vault.auth.secret_id_env": {"", func(s *settings.Settings) any { return s.Vault.Options(nil).Auth.SecretIDEnv }, nil},
	"vault.auth.token_file": {"path", func(s *settings.Settings) any { return s.Vault.Options(nil).Auth.TokenFile }, nil}, "vault.auth.jwt_file": {"path", func(s *settings.Settings) any { return s.Vault.Options(nil).Auth.JWTFile }, nil},
	"vault.auth.jwt_env": {"", func(s *settings.Settings) any { return s.Vault.Options(nil).Auth.JWTEnv }, nil},

	"vault.parallel": {"7", func(s *settings.Settings) any { return s.Vault.Parallel }, 7},
	"trust.env":      {`["X_"]`, func(s *settings.Settings) any { return s.SpecTrust().Env[0] }, "X_"}, "trust.vault": {`["kv/dns/"]`, func(s *settings.Settings) any { return s.SpecTrust().Vault[0] }, "kv/dns/"},
	"trust.httpreq": {"true", func(s *settings.Settings) any { return s.SpecTrust().HTTPReq }, true}, "trust.webroots": {`["/w"]`, func(s *settings.Settings) any { return s.SpecTrust().Webroots[0] }, "/w"},
	"trust.endpoints": {`["a.example.com:443"]`, func(s *settings.Settings) any { return len(s.SpecTrust().Endpoints) }, 1}, "trust.ambient": {"true", func(s *settings.Settings) any { return s.SpecTrust().Ambient }, true},
	"verify.ssh_allowed_signers": {"path", func(s *settings.Settings) any { return s.Verify.Signers().AllowedSigners }, nil}, "verify.openpgp_keyring": {"path", func(s *settings.Settings) any { return s.Verify.Signers().Keyring }, nil},
	"log.level": {`"debug"`, func(s *settings.Settings) any { return s.Log.Level }, "debug"}, "log.format": {`"json"`, func(s *settings.Settings) any { return s.Log.Format }, "json"},
	"probe.allow": {`["a.example.com:443"]`, func(s *settings.Settings) any { return len(s.Probe.Rules) }, 1}, "probe.interval": {`"3m"`, func(s *settings.Settings) any { return s.Probe.Interval.String() }, "3m0s"},
	"probe.after": {`"4h"`, func(s *settings.Settings) any { return s.Probe.After.String() }, "4h0m0s"}, "probe.timeout": {`"5s"`, func(s *settings.Settings) any { return s.Probe.Timeout.String() }, "5s"},
	"webhook.kind": {`"github"`, func(s *settings.Settings) any { return s.Webhooks[0].Kind }, "github"}, "webhook.secret_env": {`"WIRE_ENV_LONG"`, func(s *settings.Settings) any { return passphraseOf(s.Webhooks[0].Secret()) }, "from-env-0123456789"},
	"webhook.secret_file": {`"wire-long"`, func(s *settings.Settings) any { return passphraseOf(s.Webhooks[0].Secret()) }, "from-file-0123456789"},
	"notify.name":         {"", func(s *settings.Settings) any { return s.Notify[0].Name }, nil}, "notify.service_env": {"", func(s *settings.Settings) any { return s.Notify[0].ServiceEnv }, nil},
	"notify.service_file": {"path", func(s *settings.Settings) any { return s.Notify[0].ServiceFile }, nil}, "notify.webhook": {`"https://h.example.com"`, func(s *settings.Settings) any { return s.Notify[0].Webhook }, "https://h.example.com"},
	"notify.secret_env": {"", func(s *settings.Settings) any { return s.Notify[0].SecretEnv }, nil}, "notify.secret_file": {"path", func(s *settings.Settings) any { return s.Notify[0].SecretFile }, nil},
	"notify.on": {`["failing"]`, func(s *settings.Settings) any { return string(s.Notify[0].Interest().On[0]) }, "failing"}, "notify.labels": {`{ a = "b" }`, func(s *settings.Settings) any { return s.Notify[0].Interest().Labels["a"] }, "b"},
}

// authWires lists the settings of repo.auth and ledger.auth, with gitsync's field for each.
var authWires = map[string]string{
	"username": "Username", "token_env": "Token", "token_file": "TokenFile", "ssh_key_file": "SSHKeyFile", "ssh_key_passphrase_env": "SSHKeyPassphrase",
	"ssh_key_passphrase_file": "SSHKeyPassphrase", "ssh_agent": "SSHAgent", "known_hosts_file": "KnownHostsFile", "ca_bundle": "CABundleFile",
}

// alongside lists what a setting requires next to it in its block.
var alongside = map[string]string{
	"notify.webhook": "secret_env = \"S\"\n", "notify.secret_env": "webhook = \"https://h.example.com\"\n", "notify.secret_file": "webhook = \"https://h.example.com\"\n",
	"notify.on": "service_env = \"S\"\n", "notify.labels": "service_env = \"S\"\n", "notify.name": "service_env = \"S\"\n",
}

func passphraseOf(text string, err error) any {
	if err != nil {
		return err
	}
	return text
}

// TestEverySettingWorks writes each setting into a certroll.hcl, loads it from another working directory, and checks
// the value where it is used.
func TestEverySettingWorks(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(t.TempDir())
	t.Setenv("WIRE_ENV", "from-env")
	t.Setenv("WIRE_ENV_LONG", "from-env-0123456789")
	for name, text := range map[string]string{"wire-file": "from-file\n", "wire-long": "from-file-0123456789\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]bool{}
	for _, name := range settingNames(reflect.TypeFor[settings.Settings](), "") {
		t.Run(name, func(t *testing.T) {
			seen[name] = true
			if auth, leaf, ok := strings.Cut(name, ".auth."); ok && auth != "vault" {
				checkAuth(t, dir, auth, leaf)
				return
			}
			w, known := wires[name]
			if !known {
				t.Fatal("nothing tells that it works through the file: add it to wires, and to docs/certroll.md")
			}
			source, want := w.value, w.want
			switch source {
			case "":
				source, want = `"VALUE"`, "VALUE"
			case "path":
				source, want = `"sub/VALUE"`, filepath.Join(dir, "sub", "VALUE")
			}
			if got := w.wire(loadOne(t, dir, name, source)); got != want {
				t.Errorf("%s = %s arrives as %v, want %v", name, source, got, want)
			}
		})
	}
	for name := range wires {
		if !seen[name] {
			t.Errorf("there is no setting %s", name)
		}
	}
}

func checkAuth(t *testing.T, dir, block, leaf string) {
	t.Helper()
	field := authWires[leaf]
	source, want := `"VALUE"`, any("VALUE")
	switch {
	case field == "":
		t.Fatal("nothing tells that it works through the file: add it to authWires, and to docs/certroll.md")
	case leaf == "ssh_agent":
		source, want = "true", true
	case strings.HasSuffix(leaf, "_env"):
		source, want = `"WIRE_ENV"`, "from-env"
	case field == "SSHKeyPassphrase":
		source, want = `"wire-file"`, "from-file"
	case leaf != "username":
		source, want = `"wire-file"`, filepath.Join(dir, "wire-file")
	}
	s := loadOne(t, dir, block+".auth."+leaf, source)
	a, err := map[string]*settings.GitAuth{"repo": s.Repo.Auth, "ledger": s.Ledger.Auth}[block].Auth()
	if err != nil {
		t.Fatal(err)
	}
	if got := reflect.ValueOf(a).FieldByName(field).Interface(); got != want {
		t.Errorf("%s = %s arrives as %v, want %v", leaf, source, got, want)
	}
}

// loadOne loads a certroll.hcl with one setting.
func loadOne(t *testing.T, dir, name, source string) *settings.Settings {
	t.Helper()
	path := strings.Split(name, ".")
	leaf := path[len(path)-1]
	text := leaf + " = " + source + "\n" + alongside[name]
	for i := len(path) - 2; i >= 0; i-- {
		label := map[string]string{"webhook": ` "github"`, "notify": ` "n"`}[path[i]]
		if path[0] == "vault" && path[i] == "auth" {
			label = ` "approle"`
		}
		if leaf == "method" || leaf == "kind" || leaf == "name" && path[0] == "notify" { // a label
			label, text = " "+source, strings.TrimPrefix(text, leaf+" = "+source+"\n")
			leaf = ""
		}
		text = path[i] + label + " {\n" + text + "}\n"
	}
	if path[0] != "repo" || leaf != "url" {
		if path[0] == "repo" {
			text = strings.Replace(text, "repo {\n", "repo {\nurl = \"/r.git\"\n", 1)
		} else {
			text += "repo {\n url = \"/r.git\"\n}\n"
		}
	}
	file := filepath.Join(dir, "certroll.hcl")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, _, diags, err := settings.Load(file)
	if err != nil || diags.HasErrors() {
		t.Fatalf("%v %v\n%s", err, diags, text)
	}
	return s
}

// settingNames returns the settings of a struct and its blocks, from their hcl tags.
func settingNames(of reflect.Type, prefix string) (names []string) {
	for i := range of.NumField() {
		f := of.Field(i)
		name, kind, _ := strings.Cut(f.Tag.Get("hcl"), ",")
		switch {
		case name == "" || f.Type == reflect.TypeFor[hcl.Range]():
		case kind == "block":
			block := f.Type
			for block.Kind() != reflect.Struct {
				block = block.Elem()
			}
			names = append(names, settingNames(block, prefix+name+".")...)
		default:
			names = append(names, prefix+name)
		}
	}
	return names
}

// TestRelativePaths: a path is relative to certroll.hcl. If the file is missing there, certroll still finds it below
// the working directory, as earlier versions did.
func TestRelativePaths(t *testing.T) {
	dir, cwd := t.TempDir(), t.TempDir()
	t.Chdir(cwd)
	for _, f := range []string{filepath.Join(dir, "both"), filepath.Join(cwd, "both"), filepath.Join(cwd, "here")} {
		if err := os.WriteFile(f, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{"both": filepath.Join(dir, "both"), "here": filepath.Join(cwd, "here"), "nowhere": filepath.Join(dir, "nowhere"), "/abs": "/abs"} {
		s := loadOne(t, dir, "vault.auth.secret_id_file", fmt.Sprintf("%q", path))
		if got := s.Vault.Auth.SecretIDFile; got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
	s := loadOne(t, dir, "repo.url", `"host.example.com:x/y.git"`)
	if s.Repo.URL != "host.example.com:x/y.git" {
		t.Error(s.Repo.URL)
	}
	pem := "<<-PEM\n-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\nPEM\n"
	a, err := loadOne(t, dir, "repo.auth.ca_bundle", pem).Repo.Auth.Auth()
	if err != nil || !strings.HasPrefix(a.CABundle, "-----BEGIN") || a.CABundleFile != "" {
		t.Errorf("a bundle in the file itself: %+v, %v", a, err)
	}
}

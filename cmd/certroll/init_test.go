package main

import (
	"bytes"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"certroll/cmd/certroll/console"
	"certroll/examples/lab"
	"certroll/examples/lab/labtest"
)

// initArgs returns the arguments of init for a world's servers.
func (w *world) initArgs(more ...string) []string {
	w.t.Helper()
	bundle := filepath.Join(w.dir, "ca.pem")
	if err := os.WriteFile(bundle, []byte(w.caBundle), 0o600); err != nil {
		w.t.Fatal(err)
	}
	n := w.nameserver
	return append([]string{
		"init", "-repo-url", w.repoURL, "-vault-address", w.vaultAddr, "-author", "A. Owner <owner@example.com>",
		"-ca", w.directory, "-ca-bundle", bundle, "-agree-tos", "-email", "ops@example.com", "-domain", "app." + zone,
		"-dns", "rfc2136", "-dns-var", "RFC2136_NAMESERVER=" + n.addr, "-dns-var", "RFC2136_TSIG_KEY=" + n.key,
		"-dns-var", "RFC2136_TSIG_ALGORITHM=" + n.algorithm, "-dns-nameserver", n.addr,
	}, more...)
}

// empty returns a world whose repository has no branch yet.
func (w world) empty(t *testing.T) *world {
	t.Helper()
	w.t, w.dir = t, t.TempDir()
	repo, err := lab.CreateBare(w.dir, "certs.git")
	if err != nil {
		t.Fatal(err)
	}
	w.repo, w.repoURL = repo, repo
	w.watchForSecrets()
	return &w
}

// store writes the TSIG secret to the path that init names.
func (w *world) store() {
	w.t.Helper()
	data := map[string]any{"data": map[string]string{"RFC2136_TSIG_SECRET": w.nameserver.secret}}
	if err := w.vault.API(w.t.Context(), "POST", "secret/data/dns/rfc2136", data, nil); err != nil {
		w.t.Fatal(err)
	}
}

// TestInitToACertificate: init and apply alone lead from an empty repository to a live certificate on real servers.
func TestInitToACertificate(t *testing.T) {
	t.Parallel()
	w := newLab(t).empty(t)
	w.env = append(w.env, "XDG_STATE_HOME="+filepath.Join(w.dir, "state"))
	w.store()
	out := w.certroll(0, w.initArgs("-vault-auth", "token")...)
	if strings.Contains(out, "cannot check yet") || !strings.Contains(out, "certroll doctor:\n") {
		t.Errorf("doctor did not look:\n%s", out)
	}
	if !strings.HasSuffix(out, "\nNext:\n  the commands for Vault above\n  certroll doctor\n  certroll plan\n  certroll apply\n") {
		t.Errorf("the next steps are not right:\n%s", out)
	}
	w.certroll(0, "apply", "-auto-approve")
	w.checkPair("tls/apps/app", "app."+zone)
	if again := w.certroll(0, w.initArgs("-vault-auth", "token")...); strings.Contains(again, "made ") {
		t.Errorf("the second run makes something:\n%s", again)
	}
}

// TestInitSetUpVault: with --setup-vault certroll logs in by AppRole with the generated policy, which suffices for a
// certificate. The secret ID is in a file that only its owner can read, and in no output.
func TestInitSetUpVault(t *testing.T) {
	t.Parallel()
	w := newLab(t).empty(t)
	labtest.NeedsPolicies(t, w.vault)
	w.env = append(w.env, "XDG_STATE_HOME="+filepath.Join(w.dir, "state"))
	out := w.certroll(0, w.initArgs("-setup-vault")...)
	const storing = "vault kv put secret/dns/rfc2136 RFC2136_TSIG_SECRET=-"
	if !strings.Contains(out, "or store the secret: "+storing) || !strings.Contains(out, "\nNext:\n  "+storing+" ") || strings.Contains(out, "For Vault:") {
		t.Errorf("init does not say how to store the secret:\n%s", out)
	}
	w.store()
	for _, part := range []string{"kept    Vault: KV v2 at secret/", "made    Vault: policy certroll-apply", "made    Vault: role auth/approle/role/certroll"} {
		if !strings.Contains(out, part) {
			t.Errorf("%q is missing:\n%s", part, out)
		}
	}
	at := filepath.Join(w.dir, "vault-secret-id")
	info, err := os.Stat(at)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatal(info, err)
	}
	id, err := os.ReadFile(at)
	if err != nil || len(id) < 20 || strings.Contains(out, string(id)) {
		t.Fatalf("a secret id of %d bytes, %v, or it is in the output", len(id), err)
	}
	again := w.certroll(0, w.initArgs("-setup-vault")...)
	if strings.Contains(again, "made ") || strings.Contains(again, "differs from what init would create") || strings.Contains(again, storing) {
		t.Errorf("the second run makes something:\n%s", again)
	}
	w.token = "" // the operator's token is gone
	w.certroll(0, "doctor")
	w.certroll(0, "apply", "-auto-approve")
	w.token = w.vault.Token
	w.checkPair("tls/apps/app", "app."+zone)
}

// TestInitAsks: on a terminal, init asks for each value that no flag gives. No question is for a secret, and init
// writes nothing without a yes.
func TestInitAsks(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("HOME", dir)
	for _, name := range []string{"VAULT_ADDR", "VAULT_NAMESPACE", "VAULT_CACERT"} {
		t.Setenv(name, "")
	}
	repo, err := lab.CreateBare(dir, "certs.git")
	if err != nil {
		t.Fatal(err)
	}
	lines := []string{repo, "http://127.0.0.1:1", "letsencrypt", "", "yes", "ovh", "ovh-eu", "an-id", "app.example.com"}
	for _, end := range []string{"no", "yes"} {
		wantFile := end == "yes"
		var out, asked bytes.Buffer
		a := &app{Console: console.Console{In: strings.NewReader(strings.Join(append(lines, end), "\n") + "\n"), Out: &out, Err: &asked, Getenv: os.Getenv, AtTerminal: true}}
		code := a.main([]string{"init", "-author", "A. Owner <owner@example.com>"})
		if _, err := os.Stat("certroll.hcl"); (err == nil) != wantFile || (code == 0) != wantFile {
			t.Errorf("%q: exit code %d, %v\n%s%s", end, code, err, asked.String(), out.String())
		}
		for _, question := range []string{"The config repo: ", "Vault's address", "The CA: ", "OVH_ENDPOINT of the provider ovh: ", "Type yes to continue: "} {
			if !strings.Contains(asked.String(), question) {
				t.Errorf("%q was not asked:\n%s", question, asked.String())
			}
		}
		if strings.Contains(asked.String(), "OVH_APPLICATION_SECRET") {
			t.Errorf("a secret is asked for:\n%s", asked.String())
		}
	}
}

// TestInitUnknownCA: init names its own flag for the CA of a Git server and of a Vault
// whose certificates no known CA signed.
func TestInitUnknownCA(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("VAULT_TOKEN", "unused")
	t.Setenv("VAULT_CACERT", "")
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	repo, err := lab.CreateBare(t.TempDir(), "certs.git")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("token", []byte("a-token"), 0o600); err != nil {
		t.Fatal(err)
	}
	for end, args := range map[string][]string{
		"name it with --git-ca FILE (repo.auth.ca_bundle)\n": {"-repo-url", server.URL + "/certs.git", "-git-token-file", "token", "-vault-address", "http://127.0.0.1:1"},
		"name it with --vault-ca FILE (vault.ca_cert)\n":     {"-repo-url", repo, "-vault-address", server.URL, "-setup-vault"},
	} {
		var said bytes.Buffer
		a := &app{Console: console.Console{In: strings.NewReader(""), Out: &said, Err: &said, Getenv: os.Getenv}}
		code := a.main(append([]string{"init", "-author", "A. Owner <owner@example.com>", "-ca", "letsencrypt", "-agree-tos", "-dns", "http-01", "-domain", "app.example.com"}, args...))
		if code != console.ExitError || !strings.HasSuffix(said.String(), end) {
			t.Errorf("exit code %d, want the end %q:\n%s", code, end, said.String())
		}
	}
}

// TestInitServiceLater: a service that a later init makes has the logins and CA files of the
// existing certroll.hcl, but for another repository it has none of them.
func TestInitServiceLater(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"VAULT_NAMESPACE", "VAULT_CACERT"} {
		t.Setenv(name, "")
	}
	run := func(more ...string) {
		t.Helper()
		var said bytes.Buffer
		a := &app{Console: console.Console{In: strings.NewReader(""), Out: &said, Err: &said, Getenv: os.Getenv}}
		if code := a.main(append([]string{"init", "-dir", "clone", "-vault-address", "https://vault.example.com", "-ca", "letsencrypt", "-agree-tos", "-dns", "http-01", "-domain", "app.example.com"}, more...)); code != 0 {
			t.Fatalf("exit code %d:\n%s", code, said.String())
		}
	}
	const https, ssh = "https://git.example.com/certs.git", "ssh://git@git.example.com/certs.git"
	run("-repo-url", https, "-git-token-file", "token", "-git-username", "robot", "-git-ca", "git-ca.pem", "-vault-ca", "vault-ca.pem", "-vault-namespace", "team")
	run("-service", "systemd")
	run("-service", "compose", "-repo-url", ssh, "-git-ssh-key", "key")
	for file, want := range map[string][4]bool{"systemd/certroll.hcl": {true, true, true, false}, "compose/certroll.hcl": {false, false, false, true}} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Join(strings.Fields(string(b)), " ")
		for i, setting := range []string{"token_file = ", `username = "robot"`, "ca_bundle = ", "ssh_key_file = "} {
			if strings.Contains(text, setting) != want[i] {
				t.Errorf("%s has %q: %v, want %v", file, setting, !want[i], want[i])
			}
		}
		if !strings.Contains(text, "ca_cert = ") || !strings.Contains(text, `namespace = "team"`) {
			t.Errorf("%s lacks Vault's settings:\n%s", file, b)
		}
	}
}

// TestInitEnds: input that ends early ends the questions, and so does a line without end.
func TestInitEnds(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, in := range map[string]io.Reader{"nothing": strings.NewReader(""), "blank lines": strings.NewReader(strings.Repeat("\n", 1000)), "one long line": strings.NewReader(strings.Repeat("x", 1<<20))} {
		var asked bytes.Buffer
		a := &app{Console: console.Console{In: in, Out: io.Discard, Err: &asked, Getenv: func(string) string { return "" }, AtTerminal: true}}
		if code := a.main([]string{"init"}); code != console.ExitError || !strings.Contains(asked.String(), "othing was written") {
			t.Errorf("%s: exit code %d\n%s", name, code, asked.String())
		}
	}
}

package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"certroll/cmd/certroll/console"
	"certroll/examples/lab"
	"certroll/examples/lab/labtest"
)

const oneCertificate = `
certificate "api" {
  domains = ["api.lab.test"]
  issuer  = issuer.pebble
  dns     = dns.lab
}
`

// says runs certroll, which must fail with all of the texts.
func (w *world) says(args string, texts ...string) string {
	w.t.Helper()
	return w.saysWith(console.ExitError, args, texts...)
}

// saysWith is says with another exit code.
func (w *world) saysWith(code int, args string, texts ...string) string {
	w.t.Helper()
	out := w.certroll(code, strings.Fields(args)...)
	flat := strings.Join(strings.Fields(out), " ") // lines are wrapped
	for _, text := range texts {
		if !strings.Contains(flat, text) {
			w.t.Errorf("certroll %s says\n%s\nwant in it: %s", args, out, text)
		}
	}
	return out
}

// TestVaultErrors: an error from Vault says what to do.
func TestVaultErrors(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	world := func(t *testing.T) *world { return l.fresh(t, map[string]string{"certs.hcl": oneCertificate}) }

	t.Run("a token without a policy", func(t *testing.T) {
		labtest.NeedsPolicies(t, l.vault)
		w := world(t)
		w.settings("")
		w.token = newToken(t, l.vault, "nothing", `path "sys/none" { capabilities = ["read"] }`)
		w.says("plan", "looking at the mount secret/", "403", "policies grant nothing below secret/")
	})
	t.Run("a token that may plan", func(t *testing.T) {
		labtest.NeedsPolicies(t, l.vault)
		w := world(t)
		w.settings("")
		rules, err := os.ReadFile("../../examples/vault-policies/plan.hcl")
		if err != nil {
			t.Fatal(err)
		}
		w.token = newToken(t, l.vault, "plan", string(rules))
		w.certroll(2, "plan", "-detailed-exitcode")
		w.says("apply --auto-approve", "permission denied", "the token lacks the capability", `path "secret/metadata/certroll/lease" { capabilities = ["read"] }`)
	})
	t.Run("a token that may apply", func(t *testing.T) {
		w := world(t)
		w.settings("")
		rules, err := os.ReadFile("../../examples/vault-policies/apply.hcl")
		if err != nil {
			t.Fatal(err)
		}
		w.token = newToken(t, l.vault, "apply", string(rules))
		w.certroll(0, "apply", "-auto-approve")
		w.checkPair("tls/api", "api.lab.test")
		w.certroll(0, "plan", "-detailed-exitcode")
	})
	t.Run("no token", func(t *testing.T) {
		w := world(t)
		w.settings("")
		w.token = ""
		w.says("plan", "there is no token", "VAULT_TOKEN")
	})
	t.Run("KV version 1", func(t *testing.T) {
		w := world(t)
		if err := l.vault.API(t.Context(), http.MethodPost, "sys/mounts/old", map[string]any{"type": "kv", "options": map[string]string{"version": "1"}}, nil); err != nil {
			t.Fatal(err)
		}
		w.push(map[string]string{"certs.hcl": strings.Replace(oneCertificate, "dns.lab", "dns.lab\n  vault { mount = \"old\" }", 1)}, "Use the old mount")
		w.settings("")
		w.says("plan", "old/", "KV version 1", "vault kv enable-versioning old/")
	})
	t.Run("sealed", func(t *testing.T) {
		w := world(t)
		w.settings("")
		if err := l.vault.Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.says("plan", "503", "Vault is sealed", "vault operator unseal")
		if err := l.vault.Unseal(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("not there", func(t *testing.T) {
		w := world(t)
		w.vaultAddr = "http://127.0.0.1:1"
		w.settings("")
		w.says("plan", "connection refused", "is Vault up at http://127.0.0.1:1?", "VAULT_ADDR")
	})
}

func newToken(t testing.TB, v *lab.Vault, name, rules string) string {
	t.Helper()
	return labtest.Token(t, v, name, rules)
}

// TestCAUnreachable: an unreachable CA gives an event, a record and a hold, and certroll does not retry at once.
func TestCAUnreachable(t *testing.T) {
	t.Parallel()
	w := newLab(t).fresh(t, map[string]string{"certs.hcl": oneCertificate})
	w.directory = "https://127.0.0.1:1/dir"
	w.settings("")
	w.says("apply --auto-approve", "api", "failed (ca_unavailable)", "https://127.0.0.1:1/dir", "connection refused", "1 failed")
	if e := w.events(); len(e) != 1 || e[0].Status != "failure" || e[0].Class != "ca_unavailable" || !strings.Contains(e[0].Message, "connection refused") {
		t.Errorf("events: %+v", e)
	}
	if status := w.ledgerFile("STATUS.md"); !strings.Contains(status, "1 failing") || !strings.Contains(status, "connection refused") {
		t.Errorf("STATUS.md:\n%s", status)
	}
	if out := w.certroll(0, "plan", "-detailed-exitcode"); !strings.Contains(out, "issue waits until") {
		t.Errorf("plan:\n%s", out)
	}
	w.certroll(0, "apply", "-auto-approve")
	if e := w.events(); len(e) != 1 {
		t.Errorf("it was tried again at once: %+v", e)
	}
	w.says("status api", "failing", "ca_unavailable", "waits until")
}

// TestWrongTSIGKey: the error contains the server's own words and no secret.
func TestWrongTSIGKey(t *testing.T) {
	t.Parallel()
	server := newFailingDNS(t)
	w := newLab(t).fresh(t, map[string]string{"certs.hcl": oneCertificate})
	w.nameserver = server.nameserver
	w.nameserver.secret = "d3Jvbmcta2V5LXdyb25nLWtleQ=="
	w.settings("")
	w.says("apply --auto-approve", "failed (dns_unauthorized)", "lab", "BADSIG")
	w.nameserver.secret = server.secret
	w.nameserver.key = "other-key."
	w.settings("")
	w.says("apply --auto-approve", "failed (dns_unauthorized)", "BADKEY") // a changed setting ends the hold
}

func TestGitErrors(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	world := func(t *testing.T) *world { return l.fresh(t, map[string]string{"certs.hcl": oneCertificate}) }

	t.Run("no such path", func(t *testing.T) {
		w := world(t)
		w.repoURL = filepath.Join(w.dir, "gone.git")
		w.settings("")
		w.says("plan", "gone.git")
	})
	t.Run("no such repository", func(t *testing.T) {
		w := world(t)
		server := labtest.GitHTTP(t)
		w.repoURL, w.repoMore = server.URL("gone"), httpAuth(server)
		w.env = []string{"CERTROLL_GIT_TOKEN=" + server.Token}
		w.settings("")
		w.says("plan", server.URL("gone"), "not found")
	})
	t.Run("wrong token", func(t *testing.T) {
		w := world(t)
		server := labtest.GitHTTP(t)
		if _, err := server.Create("certs"); err != nil {
			t.Fatal(err)
		}
		w.repoURL, w.repoMore = server.URL("certs"), httpAuth(server)
		w.env = []string{"CERTROLL_GIT_TOKEN=wrong"}
		w.settings("")
		w.says("plan", server.URL("certs"), "token")
	})
	t.Run("unknown host key", func(t *testing.T) {
		w := world(t)
		server := labtest.GitSSH(t)
		known := filepath.Join(w.dir, "known_hosts")
		if err := os.WriteFile(known, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		url, err := server.Create("certs")
		if err != nil {
			t.Fatal(err)
		}
		w.repoURL, w.repoMore = url, sshAuth(server.KeyFile, known)
		w.settings("")
		w.says("plan", "127.0.0.1", known, "ssh-keyscan")
	})
	t.Run("push refused", func(t *testing.T) {
		w := world(t)
		hook := filepath.Join(w.repo, "hooks", "pre-receive")
		protect := func() {
			t.Helper()
			if err := lab.WriteProgram(hook, []byte("#!/bin/sh\necho 'the branch certroll/status is protected' >&2\nexit 1\n")); err != nil {
				t.Fatal(err)
			}
		}
		protect()
		w.settings("")
		// A machine that has never written the ledger creates no order.
		w.says("apply --auto-approve", "nothing was ordered", "writing the ledger", "the branch certroll/status is protected")
		if err := os.Remove(hook); err != nil {
			t.Fatal(err)
		}
		w.certroll(0, "apply", "-auto-approve")
		w.checkPair("tls/api", "api.lab.test")
		// A machine that has written the ledger continues and records the events later.
		w.push(map[string]string{"more.hcl": strings.ReplaceAll(oneCertificate, "api", "more")}, "Declare another")
		protect()
		w.says("apply --auto-approve", "writing the ledger", "the branch certroll/status is protected", "safe in the journal")
		w.checkPair("tls/more", "more.lab.test")
		if err := os.Remove(hook); err != nil {
			t.Fatal(err)
		}
		w.certroll(0, "apply", "-auto-approve")
		if e := w.events(); len(e) != 2 || e[1].Status != "success" || e[1].Operation != "issue" {
			t.Errorf("events: %+v", e)
		}
		w.noPending()
	})
}

func httpAuth(server *lab.GitHTTP) string {
	return "auth {\n username = \"" + server.User + "\"\n token_env = \"CERTROLL_GIT_TOKEN\"\n}"
}

func sshAuth(key, known string) string {
	return "auth {\n ssh_key_file = \"" + key + "\"\n known_hosts_file = \"" + known + "\"\n}"
}

// TestOverTheNetwork: config repo and ledger work over HTTP and over SSH.
func TestOverTheNetwork(t *testing.T) { newLab(t).overNetwork(t, (*world).mainJob) }

// overNetwork runs a test with a repository on each kind of server.
func (w world) overNetwork(t *testing.T, test func(w *world, name string)) {
	t.Run("http", func(t *testing.T) {
		server := labtest.GitHTTP(t)
		w := w.on(t, server.Path("certs"), server.URL("certs"), must(server.Create("certs")))
		w.repoMore, w.env = httpAuth(server), []string{"CERTROLL_GIT_TOKEN=" + server.Token}
		test(w, "over-http")
	})
	t.Run("ssh", func(t *testing.T) {
		server := labtest.GitSSH(t)
		w := w.on(t, server.Path("certs"), server.URL("certs"), must(server.Create("certs")))
		w.repoMore = sshAuth(server.KeyFile, server.KnownHosts)
		test(w, "over-ssh")
	})
}

func must(_ string, err error) error { return err }

// on returns a world whose repository is on a server.
func (w world) on(t testing.TB, path, url string, err error) *world {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	w.t, w.dir, w.repo, w.repoURL = t, t.TempDir(), path, url
	w.watchForSecrets()
	return &w
}

func (w *world) mainJob(name string) {
	w.t.Helper()
	w.push(map[string]string{"certs.hcl": strings.ReplaceAll(oneCertificate, "api", name)}, "Declare it")
	w.settings("")
	w.certroll(0, "apply", "-auto-approve")
	w.checkPair("tls/"+name, name+".lab.test")
	if e := w.events(); len(e) != 1 || e[0].Status != "success" {
		w.t.Errorf("events: %+v", e)
	}
	w.certroll(0, "plan", "-detailed-exitcode")
}

// TestErrorsAreSeen: foreign text in an error cannot control the terminal.
func TestErrorsAreSeen(t *testing.T) {
	var out strings.Builder
	a := &app{Console: console.Console{In: strings.NewReader(""), Out: io.Discard, Err: &out, Getenv: func(string) string { return "" }}}
	if code := a.main([]string{"apply", "no\x1b[2J\rsuch\u202efile"}); code != console.ExitError || !strings.Contains(out.String(), "certroll plan --out") || strings.ContainsAny(out.String(), "\x1b\r\u202e") {
		t.Errorf("%d, %q", code, out.String())
	}
}

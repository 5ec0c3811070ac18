package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"certroll/examples/lab/labtest"
)

// keyFor makes an SSH key with a passphrase and makes the world's git trust it.
func (w *world) keyFor(name, passphrase string) string {
	w.t.Helper()
	file := filepath.Join(w.dir, name)
	if out, err := exec.CommandContext(w.t.Context(), "ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", "test", "-f", file).CombinedOutput(); err != nil {
		w.t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
	public, err := os.ReadFile(file + ".pub")
	if err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(file+".allowed", append([]byte("certroll@localhost "), public...), 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.git("config", "gpg.ssh.allowedSignersFile", file+".allowed")
	return file
}

// TestSignedLedger: the commits of apply, retry and accept are signed, skip CI pipelines, and go to a ref outside
// refs/heads. Commands that only read need no key.
func TestSignedLedger(t *testing.T) {
	t.Parallel()
	const passphrase = "not-a-secret-but-long-enough"
	labtest.Needs(t, "ssh-keygen")
	w, _ := newLab(t).faulty(t, declare("", "api"))
	key := w.keyFor("ledger-key", passphrase)
	w.settings(`
ledger {
  branch = "refs/certroll/status"
  signing {
    ssh_key_file   = "` + key + `"
    passphrase_env = "LEDGER_PASSPHRASE"
  }
}`)
	w.says(applyNow, "the environment variable LEDGER_PASSPHRASE is empty", "passphrase_env")
	w.env = append(w.env, "LEDGER_PASSPHRASE=wrong-"+passphrase)
	if said := w.says(applyNow, key, "passphrase"); strings.Contains(said, passphrase) {
		t.Errorf("the passphrase is shown:\n%s", said)
	}
	w.env = append(w.env, "LEDGER_PASSPHRASE="+passphrase)
	if said := w.certroll(0, "apply", "-auto-approve", "-log-level", "debug"); strings.Contains(said, passphrase) {
		t.Errorf("the passphrase is shown:\n%s", said)
	}
	w.git("verify-commit", "refs/certroll/status")
	if got := w.git("log", "--format=%G?|%s|%b", "refs/certroll/status"); !strings.HasPrefix(got, "G|issue api: success|[skip ci]\n\nOperation: issue\n") {
		t.Errorf("the commits are\n%s", got)
	}
	w.certroll(0, "accept", w.git("rev-parse", "refs/heads/main"))
	w.git("verify-commit", "refs/certroll/status")
	if got := w.git("for-each-ref", "--format=%(refname)"); got != "refs/certroll/status\nrefs/heads/main" {
		t.Errorf("the refs are %q", got)
	}
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	w.certroll(0, "plan")
	w.certroll(0, "status", "api")
	w.says(applyNow, "reading the SSH key "+key)

	rules, err := os.ReadFile("../../examples/vault-policies/audit.hcl")
	if err != nil {
		t.Fatal(err)
	}
	w.token = newToken(t, w.vault, "audit", strings.ReplaceAll(string(rules), "/certroll/", "/"+w.prefix+"/"))
	if said := w.certroll(0, "audit", "verify", "-anchor"); !strings.Contains(said, "compared with its checkpoint in Vault") {
		t.Errorf("audit verify:\n%s", said)
	}
}

// TestTokenRotatedUnderRun: the Git server's token changes while the daemon runs. The daemon reads the new token from
// its file and never shows either one.
func TestTokenRotatedUnderRun(t *testing.T) {
	t.Parallel()
	server := labtest.GitHTTP(t)
	url, err := server.Create("certs")
	if err != nil {
		t.Fatal(err)
	}
	w, _ := newLab(t).faulty(t, declare("", "api"))
	w.repo, w.repoURL = server.Path("certs"), url
	w.push(declare("", "api"), "Declare a certificate")
	file := filepath.Join(w.dir, "git-token")
	put := func(token string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(server.Token)
	w.repoMore = "auth {\n    username = \"" + server.User + "\"\n    token_file = \"" + file + "\"\n  }"
	w.settings(`interval = "1s"`)
	cmd, out := w.started("run")
	w.until("the first certificate", out, func() bool { return w.countEvents("issue", "success") == 1 })
	token := server.Rotate()
	w.push(declare("", "api", "web"), "Declare another")
	w.until("that it is not let in", out, func() bool { return strings.Contains(out.String(), "authentication failed") })
	put(token)
	w.until("the second certificate", out, func() bool { return w.countEvents("issue", "success") == 2 })
	w.stopRun(cmd, out)
	if said := out.String(); strings.Contains(said, token) || strings.Contains(said, server.Token) {
		t.Errorf("a token is shown:\n%s", said)
	}
}

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// pageCommands returns the commands in a page's console blocks, in order, with continuation lines joined.
func pageCommands(t *testing.T, page string) []string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, block := range regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		for _, line := range strings.Split(strings.ReplaceAll(block[1], "\\\n", " "), "\n") {
			if command, ok := strings.CutPrefix(line, "$ "); ok {
				found = append(found, command)
			}
		}
	}
	return found
}

// TestGettingStarted runs the commands in docs/getting-started.md one after the other on the lab's servers; the
// variables that the page exports point to them. The embedded Vault has neither policies nor the program vault: there
// certroll logs in with VAULT_TOKEN, and the test stores and reads the secrets itself. On a real Vault (`make
// integration`) every command runs as written.
func TestGettingStarted(t *testing.T) {
	t.Parallel()
	w := newLab(t).empty(t)
	w.env = append(w.env, "XDG_STATE_HOME="+filepath.Join(w.dir, "state"), "GIT_AUTHOR_NAME=A. Owner", "GIT_AUTHOR_EMAIL=owner@example.com")
	for name, text := range map[string]string{"ca.pem": w.caBundle, "tsig-secret": w.nameserver.secret, "git-token": "unused by a repository that is a path"} {
		if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	variables := map[string]string{
		"REPO_URL": w.repoURL, "VAULT_ADDR": w.vaultAddr, "VAULT_TOKEN": w.vault.Token, "CA_DIRECTORY": w.directory,
		"NAMESERVER": w.nameserver.addr, "TSIG_KEY": w.nameserver.key, "DOMAIN": "app." + zone,
	}
	ran := 0
	for _, command := range pageCommands(t, "../../docs/getting-started.md") {
		if export, ok := strings.CutPrefix(command, "export "); ok {
			name, _, _ := strings.Cut(export, "=")
			if variables[name] == "" {
				t.Fatalf("the page exports %s, which this test does not know", name)
			}
			w.env = append(w.env, name+"="+variables[name])
			continue
		}
		ran++
		w.shell(command)
	}
	if ran < 5 || ran > 10 {
		t.Errorf("the page has %d commands; it is to have ten at most", ran)
	}
	w.checkPair("tls/apps/app", "app."+zone)
}

// shell runs a command from the page, which must succeed.
func (w *world) shell(command string) {
	w.t.Helper()
	if w.vault.Embedded {
		switch command {
		case "vault kv put secret/dns/rfc2136 RFC2136_TSIG_SECRET=@tsig-secret":
			w.store()
			return
		case "vault kv get -field=fullchain secret/tls/apps/app | openssl x509 -noout -ext subjectAltName -dates":
			w.secret("tls/apps/app")
			return
		}
		command = strings.Replace(command, " --setup-vault ", " --vault-auth token ", 1)
	} else if strings.HasPrefix(command, "vault ") {
		command = w.vault.Program + strings.TrimPrefix(command, "vault")
	}
	cmd := w.command()
	sh := exec.CommandContext(w.t.Context(), "sh", "-ec", command)
	sh.Dir, sh.Env = cmd.Dir, cmd.Env
	out, err := sh.CombinedOutput()
	if err != nil {
		w.t.Fatalf("$ %s\n%v\n%s", command, err, out)
	}
	w.noSecrets(string(out))
}

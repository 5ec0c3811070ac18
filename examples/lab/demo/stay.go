package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// stay leaves the lab to the user until ctx ends, with `certroll run` active and its log
// on the terminal.
func (s *stage) stay(ctx context.Context) error {
	env, err := s.writeEnv()
	if err != nil {
		return err
	}
	fmt.Printf("\n\n-- the lab is yours %s\n", strings.Repeat("-", 58))
	tell("The lab stays up until Ctrl-C, then the demo removes it. certroll run is running: it applies each push within 5 seconds.")
	fmt.Printf(`  status page     http://%[1]s/
  metrics         http://%[1]s/metrics
  Vault           %[2]s
  ACME directory  %[3]s
  DNS             %[4]s, for %[5]s and all below it
  config repo     %[6]s
  certroll.hcl    %[7]s

In another terminal, load the file with the addresses and tokens, then try:

  . %[8]s
  certroll status
  certroll explain api
  certroll rotate api --reason "to see it" --force
%[9]s  git clone %[6]s   # change a file, push, and see the status page

Do not run certroll apply here: certroll run uses the same state_dir. The log of certroll run:

`, s.listen, s.vault.Addr, s.pebble.Directory, s.dns.Addr, zone, s.repo, s.settingsFile(), env, s.reading())
	return s.runUntil(ctx)
}

// reading returns commands that read a secret, with the tools that this machine has.
func (s *stage) reading() string {
	const decode = " | openssl x509 -noout -ext subjectAltName -dates"
	has := func(program string) bool { _, err := exec.LookPath(program); return err == nil }
	var line string
	switch name := filepath.Base(s.vault.Program); {
	case !s.vault.Embedded || has("vault"):
		if s.vault.Embedded {
			name = "vault"
		}
		line = "  " + name + " kv get -field=fullchain secret/tls/api"
		if has("openssl") {
			line += decode
		}
	case has("curl"):
		line = `  curl -s -H "X-Vault-Token: $VAULT_TOKEN" "$VAULT_ADDR/v1/secret/data/tls/api"`
	default:
		return ""
	}
	return line + "\n"
}

// runUntil runs certroll on the terminal. If certroll ends by itself, for example by
// kill, the rest of the lab stays.
func (s *stage) runUntil(ctx context.Context) error {
	cmd := s.certrollCommand(ctx, "run")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	// The terminal sends Ctrl-C to the whole process group. In a group of its own,
	// certroll receives only our signal, while the lab still answers it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && ctx.Err() == nil {
		return fmt.Errorf("certroll run: %w", err)
	}
	if ctx.Err() == nil {
		tell("certroll run has ended (%s). The other servers stay up until Ctrl-C.", cmd.ProcessState)
	}
	<-ctx.Done()
	return nil
}

// writeEnv writes a file of shell variables for the lab. It contains the lab's token and
// TSIG secret, which therefore do not appear on the terminal.
func (s *stage) writeEnv() (string, error) {
	path := strings.Join([]string{filepath.Dir(s.program), filepath.Dir(s.vault.Program), "$PATH"}, ":")
	var text strings.Builder
	for _, v := range [][2]string{
		{"VAULT_ADDR", s.vault.Addr},
		{"VAULT_TOKEN", s.vault.Token},
		{"CERTROLL_DNS_TSIG_SECRET", s.dns.Secret},
		{"CERTROLL_CONFIG", s.settingsFile()},
		{"PATH", path},
		// Every commit, by git or by certroll rotate, needs an author.
		{"GIT_AUTHOR_NAME", "Lab"}, {"GIT_AUTHOR_EMAIL", "lab@example.com"},
		{"GIT_COMMITTER_NAME", "Lab"}, {"GIT_COMMITTER_EMAIL", "lab@example.com"},
	} {
		fmt.Fprintf(&text, "export %s=\"%s\"\n", v[0], v[1])
	}
	file := filepath.Join(s.dir, "env")
	return file, os.WriteFile(file, []byte(text.String()), 0o600)
}

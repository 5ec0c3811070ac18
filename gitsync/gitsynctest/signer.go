package gitsynctest

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"certroll/examples/lab/labtest"
)

// Signer signs with the real programs: git, which runs ssh-keygen and gpg.
type Signer struct {
	t   testing.TB
	dir string   // keys, and a repository to commit in
	Env []string // of its programs
}

// NewSigner makes one that is gone with the test; it needs ssh-keygen and gpg.
func NewSigner(t testing.TB) *Signer {
	t.Helper()
	labtest.Needs(t, "ssh-keygen", "gpg")
	// The socket of gpg's agent has a path of about a hundred characters at most.
	dir, err := os.MkdirTemp("", "signer") //nolint:usetesting // t.TempDir's path is too long for it
	Must(t, err)
	s := &Signer{t: t, dir: dir, Env: append(os.Environ(), "GNUPGHOME="+dir, "HOME="+dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull, "TZ=UTC",
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.com", "GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.com")}
	t.Cleanup(func() {
		_ = exec.CommandContext(context.Background(), "gpgconf", "--homedir", dir, "--kill", "all").Run()
		_ = os.RemoveAll(dir)
	})
	s.Run("git", "init", "--quiet", "--initial-branch=main")
	return s
}

// Run runs a program in the signer's directory and returns what it prints.
func (s *Signer) Run(name string, args ...string) string { return s.Feed(nil, nil, name, args...) }

// Feed is Run with an environment besides, and a standard input.
func (s *Signer) Feed(env []string, in []byte, name string, args ...string) string {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), name, args...)
	cmd.Dir, cmd.Env, cmd.Stdin = s.dir, append(s.Env, env...), bytes.NewReader(in)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimRight(string(out), "\n")
}

// Path is where a file of the signer is.
func (s *Signer) Path(name string) string { return filepath.Join(s.dir, name) }

// Write makes a file of the signer and returns its path.
func (s *Signer) Write(name, text string) string {
	s.t.Helper()
	Must(s.t, os.WriteFile(s.Path(name), []byte(text), 0o600))
	return s.Path(name)
}

// SSHKey makes a key and returns its public half.
func (s *Signer) SSHKey(name string, args ...string) string {
	s.t.Helper()
	s.Run("ssh-keygen", append([]string{"-q", "-N", "", "-C", name, "-f", name, "-t", "ed25519"}, args...)...)
	public, err := os.ReadFile(s.Path(name + ".pub"))
	Must(s.t, err)
	return strings.TrimSpace(string(public))
}

// GPGKey makes a key that signs, and expires after that, and returns its id.
func (s *Signer) GPGKey(user, expires string, args ...string) string {
	s.t.Helper()
	s.Run("gpg", append(append([]string{"--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""}, args...),
		"--quick-generate-key", user+" <"+user+"@example.com>", "ed25519", "sign", expires)...)
	for line := range strings.Lines(s.Run("gpg", "--batch", "--with-colons", "--list-secret-keys", user)) {
		if fields := strings.Split(line, ":"); fields[0] == "fpr" {
			return fields[9]
		}
	}
	s.t.Fatal("gpg made no key")
	return ""
}

// Export writes public OpenPGP keys into a file and returns its path.
func (s *Signer) Export(name string, ids ...string) string {
	return s.Write(name, s.Run("gpg", append([]string{"--batch", "--armor", "--export"}, ids...)...)+"\n")
}

// Commit commits with git's own options and returns the commit.
func (s *Signer) Commit(text string, env []string, args ...string) string {
	s.t.Helper()
	s.Write("a.hcl", text)
	s.Run("git", "add", "a.hcl")
	s.Feed(env, nil, "git", append(args, "commit", "--quiet", "--allow-empty", "-m", "Change it")...)
	return s.Run("git", "rev-parse", "HEAD")
}

// BySSH are git's options to sign by an SSH key, which is in a file.
func BySSH(key string) []string {
	return []string{"-c", "gpg.format=ssh", "-c", "user.signingKey=" + key, "-c", "commit.gpgSign=true"}
}

// ByGPG are git's options to sign by an OpenPGP key.
func ByGPG(id string) []string {
	return []string{"-c", "user.signingKey=" + id, "-c", "commit.gpgSign=true"}
}

// Raw is a commit's bytes.
func (s *Signer) Raw(commit string) []byte {
	s.t.Helper()
	return []byte(s.Run("git", "cat-file", "commit", commit) + "\n")
}

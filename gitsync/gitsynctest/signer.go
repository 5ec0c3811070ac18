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

// Signer signs commits with the real programs: git, which runs ssh-keygen and gpg.
type Signer struct {
	t   testing.TB
	dir string   // the keys, and a repository to commit in
	Env []string // the programs' environment
}

// NewSigner returns a Signer in a directory that the test's cleanup removes. It needs
// ssh-keygen and gpg.
func NewSigner(t testing.TB) *Signer {
	t.Helper()
	labtest.Needs(t, "ssh-keygen", "gpg")
	// The path of gpg-agent's Unix socket must fit into about a hundred bytes (sun_path in
	// unix(7)).
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

// Run runs a program in the signer's directory and returns its output.
func (s *Signer) Run(name string, args ...string) string { return s.Feed(nil, nil, name, args...) }

// Feed is Run with additional environment variables and a standard input.
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

// Path returns the path of a file in the signer's directory.
func (s *Signer) Path(name string) string { return filepath.Join(s.dir, name) }

// Write writes a file into the signer's directory and returns its path.
func (s *Signer) Write(name, text string) string {
	s.t.Helper()
	Must(s.t, os.WriteFile(s.Path(name), []byte(text), 0o600))
	return s.Path(name)
}

// SSHKey makes an SSH key pair and returns the public half.
func (s *Signer) SSHKey(name string, args ...string) string {
	s.t.Helper()
	s.Run("ssh-keygen", append([]string{"-q", "-N", "", "-C", name, "-f", name, "-t", "ed25519"}, args...)...)
	public, err := os.ReadFile(s.Path(name + ".pub"))
	Must(s.t, err)
	return strings.TrimSpace(string(public))
}

// GPGKey makes a signing key that lasts for expires, and returns its fingerprint.
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

// Export writes the public OpenPGP keys into a file and returns its path.
func (s *Signer) Export(name string, ids ...string) string {
	return s.Write(name, s.Run("gpg", append([]string{"--batch", "--armor", "--export"}, ids...)...)+"\n")
}

// Commit writes text to a.hcl, commits it with git's own options, and returns the commit's
// hash.
func (s *Signer) Commit(text string, env []string, args ...string) string {
	s.t.Helper()
	s.Write("a.hcl", text)
	s.Run("git", "add", "a.hcl")
	s.Feed(env, nil, "git", append(args, "commit", "--quiet", "--allow-empty", "-m", "Change it")...)
	return s.Run("git", "rev-parse", "HEAD")
}

// BySSH returns git's options to sign with the SSH key in a file.
func BySSH(key string) []string {
	return []string{"-c", "gpg.format=ssh", "-c", "user.signingKey=" + key, "-c", "commit.gpgSign=true"}
}

// ByGPG returns git's options to sign with an OpenPGP key.
func ByGPG(id string) []string {
	return []string{"-c", "user.signingKey=" + id, "-c", "commit.gpgSign=true"}
}

// Raw returns the raw bytes of a commit.
func (s *Signer) Raw(commit string) []byte {
	s.t.Helper()
	return []byte(s.Run("git", "cat-file", "commit", commit) + "\n")
}

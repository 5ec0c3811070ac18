package gitsync

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"certroll/gitsync/fault"
	"certroll/gitsync/gitsynctest"
	"certroll/gitsync/signature"
)

// keyring makes keys for a ledger with ssh-keygen and gpg.
type keyring struct {
	*gitsynctest.Signer
	t testing.TB
}

func newKeyring(t testing.TB) keyring { return keyring{gitsynctest.NewSigner(t), t} }

// ssh makes a key that the allowed signers file lists.
func (k keyring) ssh(passphrase string, kind ...string) string {
	k.t.Helper()
	k.Run("ssh-keygen", append([]string{"-q", "-N", passphrase, "-C", "test", "-f", "id"}, kind...)...)
	public, err := os.ReadFile(k.Path("id.pub"))
	must(k.t, err)
	k.Write("allowed", "certroll@localhost "+string(public))
	return k.Path("id")
}

// gpg makes a key and exports its secret part.
func (k keyring) gpg(passphrase, algorithm, usage string, export ...string) string {
	k.t.Helper()
	k.Run("gpg", "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", passphrase,
		"--quick-generate-key", "certroll <certroll@localhost>", algorithm, usage, "1y")
	return k.secret(passphrase, export...)
}

func (k keyring) secret(passphrase string, how ...string) string {
	k.t.Helper()
	if how == nil {
		how = []string{"--armor", "--export-secret-keys"}
	}
	k.Run("gpg", append([]string{"--batch", "--yes", "--pinentry-mode", "loopback", "--passphrase", passphrase, "--output", "secret"}, how...)...)
	return k.Path("secret")
}

// git runs git in a ledger's repository with the keys trusted.
func (k keyring) git(p place, args ...string) (string, error) {
	cmd := exec.CommandContext(k.t.Context(), "git", append([]string{"-C", p.path, "-c", "gpg.ssh.allowedSignersFile=" + k.Path("allowed")}, args...)...)
	cmd.Env = k.Env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestSignedCommits: git verifies the ledger's signatures, for each common kind of key.
func TestSignedCommits(t *testing.T) {
	secret := secret()
	for name, key := range map[string]func(k keyring) (*signature.Key, error){
		"ssh ed25519": func(k keyring) (*signature.Key, error) { return signature.ReadSSHKey(k.ssh("", "-t", "ed25519"), "") },
		"ssh ecdsa":   func(k keyring) (*signature.Key, error) { return signature.ReadSSHKey(k.ssh("", "-t", "ecdsa"), "") },
		"ssh rsa with passphrase": func(k keyring) (*signature.Key, error) {
			return signature.ReadSSHKey(k.ssh(secret, "-t", "rsa", "-b", "3072"), secret)
		},
		"openpgp ed25519": func(k keyring) (*signature.Key, error) {
			return signature.ReadOpenPGPKey(k.gpg("", "ed25519", "sign"), "")
		},
		"openpgp rsa with passphrase": func(k keyring) (*signature.Key, error) {
			return signature.ReadOpenPGPKey(k.gpg(secret, "rsa3072", "sign"), secret)
		},
		"openpgp binary": func(k keyring) (*signature.Key, error) {
			return signature.ReadOpenPGPKey(k.gpg("", "ed25519", "sign", "--export-secret-keys"), "")
		},
		// The primary key stays offline; only a subkey is exported.
		"openpgp subkey": func(k keyring) (*signature.Key, error) {
			k.gpg("", "ed25519", "cert")
			fields := strings.Split(k.Run("gpg", "--list-keys", "--with-colons"), "\nfpr:")
			fingerprint := strings.Trim(strings.Split(fields[1], "\n")[0], ":")
			k.Run("gpg", "--batch", "--pinentry-mode", "loopback", "--passphrase", "", "--quick-add-key", fingerprint, "ed25519", "sign", "1y")
			return signature.ReadOpenPGPKey(k.secret("", "--armor", "--export-secret-subkeys"), "")
		},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKeyring(t)
			signing, err := key(k)
			must(t, err)
			if shown := fmt.Sprintf("%v %+v %#v", signing, LedgerOptions{SigningKey: signing}, *signing); strings.Contains(shown, secret) {
				t.Errorf("it shows its passphrase: %s", shown)
			}
			p := local(t)
			l := p.ledger(t, LedgerOptions{SigningKey: signing, SkipCI: true})
			first := commit(t, l, write(map[string]string{"a": "1"}))
			second := commit(t, l, write(map[string]string{"a": "2"}))
			for _, h := range []string{first, second} {
				if out, err := k.git(p, "verify-commit", h); err != nil {
					t.Errorf("git verify-commit: %v\n%s", err, out)
				}
			}
			if shown, err := k.git(p, "log", "--show-signature", "--format=%G? %s%n%b", "certroll/status"); err != nil || strings.Count(shown, "G Test\n[skip ci]\n\nOperation: test") != 2 {
				t.Errorf("git log shows %v\n%s", err, shown)
			}
			p.git(t, "fsck", "--strict", "--full")
			// The signature covers the whole commit: changing the message invalidates it.
			raw := p.git(t, "cat-file", "commit", second) + "\n"
			forged := k.Write("forged", strings.Replace(raw, "Operation: test", "Operation: mist", 1))
			h := p.git(t, "hash-object", "-t", "commit", "-w", forged)
			if out, err := k.git(p, "verify-commit", h); err == nil {
				t.Errorf("git takes a changed commit for a signed one:\n%s", out)
			}
		})
	}
}

func TestSigningKeyErrors(t *testing.T) {
	k := newKeyring(t)
	passphrase := secret()
	locked := k.ssh(passphrase, "-t", "ed25519")
	export := k.gpg(passphrase, "ed25519", "sign")
	k.Run("gpg", "--batch", "--yes", "--output", "public", "--armor", "--export")
	wrong := secret()
	for name, c := range map[string]struct {
		read  func() (*signature.Key, error)
		words []string
	}{
		"no such ssh key":       {func() (*signature.Key, error) { return signature.ReadSSHKey(k.Path("absent"), "") }, []string{k.Path("absent"), "no such file"}},
		"ssh, no passphrase":    {func() (*signature.Key, error) { return signature.ReadSSHKey(locked, "") }, []string{locked, "there is no passphrase"}},
		"ssh, wrong passphrase": {func() (*signature.Key, error) { return signature.ReadSSHKey(locked, wrong) }, []string{locked, "passphrase"}},
		"ssh, public half":      {func() (*signature.Key, error) { return signature.ReadSSHKey(locked+".pub", "") }, []string{"private half"}},
		"no such openpgp key":   {func() (*signature.Key, error) { return signature.ReadOpenPGPKey(k.Path("absent"), "") }, []string{k.Path("absent"), "no such file"}},
		"openpgp, no key":       {func() (*signature.Key, error) { return signature.ReadOpenPGPKey(locked, "") }, []string{locked, "no OpenPGP key", "--export-secret-keys"}},
		"openpgp, public half":  {func() (*signature.Key, error) { return signature.ReadOpenPGPKey(k.Path("public"), "") }, []string{"public half alone"}},
		"openpgp, no phrase":    {func() (*signature.Key, error) { return signature.ReadOpenPGPKey(export, "") }, []string{export, "there is no passphrase"}},
		"openpgp, wrong phrase": {func() (*signature.Key, error) { return signature.ReadOpenPGPKey(export, wrong) }, []string{export, "does not open it"}},
	} {
		t.Run(name, func(t *testing.T) {
			key, err := c.read()
			failure(t, err, fault.Invalid, c.words...)
			if key != nil || strings.Contains(err.Error(), wrong) {
				t.Errorf("got %v, %v", key, err)
			}
		})
	}
}

// TestSkipCI: the marker precedes the trailers in every kind of message.
func TestSkipCI(t *testing.T) {
	for message, want := range map[string]string{
		"one":                      "one\n\n[skip ci]",
		"one\n\nA: b\nC: d":        "one\n\n[skip ci]\n\nA: b\nC: d",
		"one\n\n\nbody\n\nA: b":    "one\n\n[skip ci]\n\nbody\n\nA: b",
		"two\nlines\n\nbody\n\nA:": "two\nlines\n\n[skip ci]\n\nbody\n\nA:",
	} {
		if got := withSkipCI(message); got != want {
			t.Errorf("%q became %q, want %q", message, got, want)
		}
	}
}

// TestLedgerOutsideBranches: a ref outside refs/heads has no branch protection and starts no pipeline.
func TestLedgerOutsideBranches(t *testing.T) {
	overAll(t, func(t *testing.T, p place) {
		p.push(t, "main", map[string]string{"a.hcl": "a"})
		l := p.ledger(t, LedgerOptions{Branch: "refs/certroll/status"})
		commit(t, l, write(map[string]string{"STATUS.md": "one"}))
		again := p.ledger(t, LedgerOptions{Branch: "refs/certroll/status"})
		second := commit(t, again, write(map[string]string{"STATUS.md": "two"}))
		if _, head, err := l.Snapshot(t.Context()); err != nil || head != second {
			t.Errorf("the head is %s, %v", head, err)
		}
		if got := p.git(t, "for-each-ref", "--format=%(refname)"); got != "refs/certroll/status\nrefs/heads/main" {
			t.Errorf("the refs are %q", got)
		}
		_, err := l.Commit(t.Context(), "m", write(map[string]string{"../x": ""}))
		failure(t, err, fault.Invalid, "refs/certroll/status")
	})
	for _, name := range []string{"refs/tags/x", "refs/remotes/origin/x", "refs/", "a..b", "refs/heads/"} {
		_, err := OpenLedger(LedgerOptions{URL: "/nowhere", Branch: name})
		failure(t, err, fault.Invalid, "no name of a branch", name)
	}
}

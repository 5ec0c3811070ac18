package gitsync

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/crypto/ssh/knownhosts"

	"certroll/examples/lab"
	"certroll/examples/lab/labtest"
	"certroll/gitsync/fault"
	"certroll/gitsync/remote"
)

// newKey writes a new private key.
func newKey(t testing.TB) string {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	return writeKey(t, key, "")
}

func writeKey(t testing.TB, key ed25519.PrivateKey, passphrase string) string {
	t.Helper()
	block, err := ssh.MarshalPrivateKey(key, "")
	if passphrase != "" {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte(passphrase))
	}
	must(t, err)
	file := filepath.Join(t.TempDir(), "id")
	must(t, os.WriteFile(file, pem.EncodeToMemory(block), 0o600))
	return file
}

// sshPlace returns a repository over SSH and its server.
func sshPlace(t *testing.T) (place, *lab.GitSSH) {
	t.Helper()
	g := labtest.GitSSH(t)
	url, err := g.Create("repo")
	must(t, err)
	p := place{url: url, path: g.Path("repo"), auth: remote.Auth{SSHKeyFile: g.KeyFile, KnownHostsFile: g.KnownHosts}}
	p.push(t, "main", map[string]string{"a.hcl": "a"})
	return p, g
}

// hostKey returns the server's known_hosts line, its address and its key.
func hostKey(t *testing.T, g *lab.GitSSH) (line, addr string, key ssh.PublicKey) {
	t.Helper()
	b, err := os.ReadFile(g.KnownHosts)
	must(t, err)
	_, hosts, key, _, _, err := ssh.ParseKnownHosts(b)
	must(t, err)
	return strings.TrimSpace(string(b)), hosts[0], key
}

func TestHostKeyUnknown(t *testing.T) {
	p, g := sshPlace(t)
	line, addr, key := hostKey(t, g)
	_, port, err := net.SplitHostPort(addr)
	must(t, err)
	files := map[string]string{
		"empty file":        "# nobody\n",
		"another host only": strings.Replace(line, addr, "git.example.com", 1) + "\n",
		"another port only": strings.Replace(line, ":"+port, ":1", 1) + "\n",
		"no file":           "",
	}
	for name, content := range files {
		t.Run(name, func(t *testing.T) {
			p := p
			p.auth.KnownHostsFile = filepath.Join(t.TempDir(), "known_hosts")
			if content != "" {
				must(t, os.WriteFile(p.auth.KnownHostsFile, []byte(content), 0o600))
			}
			both(t, p, func(t *testing.T, err error) {
				failure(t, err, fault.HostUnknown, ssh.FingerprintSHA256(key), p.auth.KnownHostsFile,
					"ssh-keyscan -p "+port+" -t ed25519 127.0.0.1 >> "+p.auth.KnownHostsFile, "compare the fingerprint")
			})
		})
	}
}

// TestHostKeyScan: running the command in the error makes the host known.
func TestHostKeyScan(t *testing.T) {
	p, _ := sshPlace(t)
	p.auth.KnownHostsFile = filepath.Join(t.TempDir(), "known_hosts")
	s := p.source(t, SourceOptions{})
	_, err := s.Fetch(t.Context())
	failure(t, err, fault.HostUnknown)
	_, run, _ := strings.Cut(err.Error(), "only then run: ")
	out, err := exec.CommandContext(t.Context(), "sh", "-c", run).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", run, err, out)
	}
	if got := contents(fetch(t, s)); got != "a.hcl=a" {
		t.Errorf("got %s", got)
	}
}

func TestHostKeyChanged(t *testing.T) {
	p, g := sshPlace(t)
	line, addr, key := hostKey(t, g)
	public, _, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	other, err := ssh.NewPublicKey(public)
	must(t, err)
	tests := map[string]struct {
		file string
		want []string
	}{
		"another key": {knownhosts.Line([]string{addr}, other) + "\n", []string{ssh.FingerprintSHA256(key), ssh.FingerprintSHA256(other), ":1 has"}},
		"revoked":     {"@revoked " + line + "\n", []string{ssh.FingerprintSHA256(key), "marked as revoked"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			p := p
			p.auth.KnownHostsFile = filepath.Join(t.TempDir(), "known_hosts")
			must(t, os.WriteFile(p.auth.KnownHostsFile, []byte(tc.file), 0o600))
			both(t, p, func(t *testing.T, err error) {
				failure(t, err, fault.HostChanged, append(tc.want, "SOMEBODY MAY STAND BETWEEN", "nothing was sent")...)
			})
		})
	}
}

// TestHostKeyHashed: known_hosts can contain the host under a hashed name, and keys of other hosts.
func TestHostKeyHashed(t *testing.T) {
	p, g := sshPlace(t)
	_, addr, key := hostKey(t, g)
	p.auth.KnownHostsFile = filepath.Join(t.TempDir(), "known_hosts")
	must(t, os.WriteFile(p.auth.KnownHostsFile, []byte(knownhosts.HashHostname(addr)+" "+string(ssh.MarshalAuthorizedKey(key))), 0o600))
	if got := contents(fetch(t, p.source(t, SourceOptions{}))); got != "a.hcl=a" {
		t.Errorf("got %s", got)
	}
}

// handshaker is an SSH server with several host keys that opens no session. Without letIn it rejects every login; with
// letIn it accepts every login and calls letIn.
func handshaker(t *testing.T, letIn func(net.Conn), keys ...ssh.Signer) (addr string) {
	t.Helper()
	if letIn == nil {
		return sshServer(t, nil, keys...)
	}
	return sshServer(t, func(conn net.Conn, _ <-chan ssh.NewChannel, _ <-chan *ssh.Request) { letIn(conn) }, keys...)
}

// sshServer calls serve for each connection. If serve is nil, it rejects every login.
func sshServer(t *testing.T, serve func(net.Conn, <-chan ssh.NewChannel, <-chan *ssh.Request), keys ...ssh.Signer) (addr string) {
	t.Helper()
	config := &ssh.ServerConfig{PublicKeyCallback: func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) {
		if serve == nil {
			return nil, errors.New("nobody is let in")
		}
		return nil, nil
	}}
	for _, k := range keys {
		config.AddHostKey(k)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				if _, chans, requests, err := ssh.NewServerConn(conn, config); err == nil {
					serve(conn, chans, requests)
				}
			}()
		}
	}()
	return l.Addr().String()
}

// knowHost writes a known_hosts file that contains a server's key.
func knowHost(t *testing.T, addr string, key ssh.PublicKey) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "known_hosts")
	must(t, os.WriteFile(file, []byte(knownhosts.Line([]string{addr}, key)+"\n"), 0o600))
	return file
}

// TestHostKeyOfSeveral: certroll requests the key type in known_hosts from a server with several keys, whatever the
// server prefers. The key counts as changed only if the server has none of that type any more.
func TestHostKeyOfSeveral(t *testing.T) {
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	ed, err := ssh.NewSignerFromSigner(edKey)
	must(t, err)
	ec, err := ssh.NewSignerFromSigner(ecKey)
	must(t, err)
	tests := map[string]struct {
		serves []ssh.Signer
		file   ssh.Signer
		kind   fault.Kind
		want   string
	}{
		"the second, ecdsa":   {[]ssh.Signer{ed, ec}, ec, fault.Denied, "unable to authenticate"},
		"the first, ecdsa":    {[]ssh.Signer{ec, ed}, ec, fault.Denied, "unable to authenticate"},
		"the second, ed25519": {[]ssh.Signer{ec, ed}, ed, fault.Denied, "unable to authenticate"},
		"none of that type":   {[]ssh.Signer{ec}, ed, fault.HostChanged, "no key of the types on file there any more (ssh-ed25519"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			addr := handshaker(t, nil, tc.serves...)
			p := place{url: "ssh://git@" + addr + "/repo.git", auth: remote.Auth{
				SSHKeyFile: newKey(t), KnownHostsFile: knowHost(t, addr, tc.file.PublicKey()),
			}}
			_, err := p.source(t, SourceOptions{}).Fetch(t.Context())
			failure(t, err, tc.kind, tc.want)
		})
	}
}

func TestSSHKeyNotLetIn(t *testing.T) {
	p, _ := sshPlace(t)
	p.auth.SSHKeyFile = newKey(t)
	both(t, p, func(t *testing.T, err error) {
		failure(t, err, fault.Denied, "unable to authenticate", "deploy key")
	})
}

func TestSSHKeyFileErrors(t *testing.T) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	passphrase := secret()
	locked := writeKey(t, key, passphrase)
	garbage := filepath.Join(t.TempDir(), "garbage")
	must(t, os.WriteFile(garbage, []byte("-----BEGIN NOTHING-----\n"), 0o600))
	tests := map[string]struct {
		auth remote.Auth
		want string
	}{
		"absent":           {remote.Auth{SSHKeyFile: "/nowhere/id"}, "no such file"},
		"no key":           {remote.Auth{SSHKeyFile: garbage}, "private half"},
		"no passphrase":    {remote.Auth{SSHKeyFile: locked}, "there is no passphrase"},
		"wrong passphrase": {remote.Auth{SSHKeyFile: locked, SSHKeyPassphrase: secret()}, "the passphrase"},
	}
	t.Setenv("SSH_AUTH_SOCK", "")
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := OpenSource(SourceOptions{URL: "git@git.example.com:a.git", Auth: tc.auth})
			failure(t, err, fault.Invalid, "reading the SSH key "+tc.auth.SSHKeyFile, tc.want)
			if tc.auth.SSHKeyPassphrase != "" && strings.Contains(err.Error(), tc.auth.SSHKeyPassphrase) {
				t.Errorf("the passphrase is shown: %v", err)
			}
		})
	}
	_, err = OpenSource(SourceOptions{URL: "git@git.example.com:a.git"})
	failure(t, err, fault.Invalid, "neither a key file nor an agent")
	_, err = OpenSource(SourceOptions{URL: "git@git.example.com:a.git", Auth: remote.Auth{SSHKeyFile: locked, SSHKeyPassphrase: passphrase}})
	must(t, err)
}

// serveAgent listens on a socket like ssh-agent(1).
func serveAgent(t *testing.T, serve func(net.Conn)) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "agent")
	l, err := net.Listen("unix", socket)
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	t.Setenv("SSH_AUTH_SOCK", socket)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serve(conn)
		}
	}()
}

func TestSSHAgent(t *testing.T) {
	p, g := sshPlace(t)
	pemBytes, err := os.ReadFile(g.KeyFile)
	must(t, err)
	key, err := ssh.ParseRawPrivateKey(pemBytes)
	must(t, err)
	ring := agent.NewKeyring()
	must(t, ring.Add(agent.AddedKey{PrivateKey: key}))
	serveAgent(t, func(c net.Conn) { _ = agent.ServeAgent(ring, c) })
	p.auth.SSHKeyFile, p.auth.SSHAgent = "", true
	if got := contents(fetch(t, p.source(t, SourceOptions{}))); got != "a.hcl=a" {
		t.Errorf("got %s", got)
	}
	must(t, ring.RemoveAll())
	both(t, p, func(t *testing.T, err error) { failure(t, err, fault.Denied) })
	t.Setenv("SSH_AUTH_SOCK", filepath.Join(t.TempDir(), "nobody"))
	both(t, p, func(t *testing.T, err error) {
		failure(t, err, fault.Denied, "asking the SSH agent", "check that the agent at SSH_AUTH_SOCK runs")
	})
}

package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
)

// GitSSH serves the bare repositories of one directory over SSH, with a real sshd that
// runs as the current user and accepts one key for that user.
type GitSSH struct {
	*Process
	Dir        string // the repositories' directory
	User       string
	KeyFile    string // the accepted private key (ed25519, OpenSSH's format)
	KnownHosts string // a known_hosts file with only the server's host key

	port *reservation
	work workdir
}

// StartGitSSH serves the bare repositories in dir.
func StartGitSSH(ctx context.Context, dir string) (*GitSSH, error) {
	who, err := user.Current()
	if err != nil {
		return nil, fmt.Errorf("finding out who to let in by SSH: %w", err)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	work, err := openDir("", "ssh")
	if err != nil {
		return nil, err
	}
	g := &GitSSH{Dir: dir, User: who.Username, work: work}
	g.KeyFile, g.KnownHosts = g.path("id"), g.path("known_hosts")
	if err := g.run(ctx); err != nil {
		g.cleanUp()
		return nil, err
	}
	return g, nil
}

func (g *GitSSH) run(ctx context.Context) (err error) {
	if g.port, err = reservePort(); err != nil {
		return err
	}
	if err = g.keys(ctx); err != nil {
		return fmt.Errorf("making SSH keys: %w", err)
	}
	if err = os.WriteFile(g.path("sshd_config"), []byte(g.config()), 0o600); err != nil {
		return err
	}
	if err = privilegeSeparation(); err != nil {
		return err
	}
	if g.Process, err = start(g.work.path, nil, "sshd", "-D", "-e", "-f", g.path("sshd_config")); err != nil {
		return err
	}
	return g.ready(ctx, g.probe)
}

func (g *GitSSH) path(name string) string { return filepath.Join(g.work.path, name) }

// keys creates the host's key and the user's, and the files by which each verifies the
// other.
func (g *GitSSH) keys(ctx context.Context) error {
	keygen, err := Find("ssh-keygen")
	if err != nil {
		return err
	}
	for _, name := range []string{"host", "id"} {
		out, err := exec.CommandContext(ctx, keygen, "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", g.path(name)).CombinedOutput()
		if err != nil {
			return fmt.Errorf("ssh-keygen: %w: %s", err, out)
		}
	}
	public, err := os.ReadFile(g.path("id.pub"))
	if err != nil {
		return err
	}
	host, err := os.ReadFile(g.path("host.pub"))
	if err != nil {
		return err
	}
	known := fmt.Sprintf("[127.0.0.1]:%d %s", g.port.Port, host)
	return errors.Join(
		os.WriteFile(g.path("authorized_keys"), append([]byte("restrict "), public...), 0o600),
		os.WriteFile(g.KnownHosts, []byte(known), 0o600))
}

// config accepts one key, from loopback, for commands only. PAM is off: without it sshd
// needs no rights beyond its user's.
func (g *GitSSH) config() string {
	return strings.Join([]string{
		"ListenAddress 127.0.0.1", "Port " + strconv.Itoa(g.port.Port), "PidFile none", "LogLevel VERBOSE",
		"HostKey " + g.path("host"), "AuthorizedKeysFile " + g.path("authorized_keys"),
		// The directory may lie below a world-writable /tmp.
		"StrictModes no", "UsePAM no", "PasswordAuthentication no", "KbdInteractiveAuthentication no",
		"PermitRootLogin prohibit-password", "AllowUsers " + g.User, "AcceptEnv GIT_PROTOCOL",
		"MaxStartups 100", "UseDNS no", "PrintMotd no",
		// Debian's bash runs ~/.bashrc for each command of sshd. Another HOME keeps the
		// machine's .bashrc out.
		"SetEnv HOME=" + g.work.path, "",
	}, "\n")
}

// privilegeSeparation creates the empty directory into which sshd, run by root, changes
// its root. It is missing if sshd is installed but never ran.
func privilegeSeparation() error {
	if os.Getuid() != 0 {
		return nil
	}
	if err := os.Mkdir("/run/sshd", 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("sshd run by root needs /run/sshd: %w", err)
	}
	return nil
}

// probe reads the server's greeting.
func (g *GitSSH) probe(ctx context.Context) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", g.port.Addr)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_, err = conn.Read(make([]byte, 4))
	return err
}

// Create creates a bare repository and returns its URL.
func (g *GitSSH) Create(name string) (string, error) {
	_, err := CreateBare(g.Dir, name)
	return g.URL(name), err
}

// URL returns the URL of a repository.
func (g *GitSSH) URL(repo string) string {
	return "ssh://" + g.User + "@" + g.port.Addr + barePath(g.Dir, repo)
}

// Path returns the repository's path on disk.
func (g *GitSSH) Path(repo string) string { return barePath(g.Dir, repo) }

// Command returns a GIT_SSH_COMMAND for git's command line, with the key and the host's
// key.
func (g *GitSSH) Command() string {
	return fmt.Sprintf("ssh -F none -i %s -o IdentitiesOnly=yes -o UserKnownHostsFile=%s -o StrictHostKeyChecking=yes", g.KeyFile, g.KnownHosts)
}

// Close ends the server. Open connections end with their clients.
func (g *GitSSH) Close() error {
	err := g.Process.Close()
	g.cleanUp()
	return err
}

func (g *GitSSH) cleanUp() {
	g.port.release()
	g.work.remove()
}

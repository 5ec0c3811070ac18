package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// ErrMissing reports that a server's program is not installed.
var ErrMissing = errors.New("program not found")

// BinEnv names the environment variable with a directory that Find searches first.
const BinEnv = "CERTROLL_LAB_BIN"

// Find returns the path of one of the lab's programs. It searches the directory in
// CERTROLL_LAB_BIN, examples/lab/bin of the module around the working directory, the
// PATH, and /usr/sbin.
func Find(program string) (string, error) {
	for _, dir := range []string{os.Getenv(BinEnv), builtDir()} {
		if dir == "" {
			continue
		}
		path := filepath.Join(dir, program)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	// Daemons are often outside of a user's PATH.
	path := filepath.Join("/usr/sbin", program)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	return "", fmt.Errorf("%s: %w; %s", program, ErrMissing, remedy(program))
}

func remedy(program string) string {
	switch program {
	case "named":
		return "install BIND 9 (Debian: apt-get install bind9)"
	case "sshd", "ssh-keygen":
		return "install OpenSSH's server and client (Debian: apt-get install openssh-server openssh-client)"
	case "gpg":
		return "install GnuPG (Debian: apt-get install gnupg)"
	case "nginx", "haproxy":
		return "install it (Debian: apt-get install " + program + ")"
	case "prometheus", "promtool":
		return "install Prometheus (Debian: apt-get install prometheus)"
	case "systemd-analyze":
		return "install systemd (Debian: apt-get install systemd)"
	case "git":
		return "install Git"
	case "chromium":
		return "install Chromium (Debian: apt-get install chromium)"
	case RealName:
		return "install HashiCorp Vault, or run `make vault`, which builds it from source in 10 to 20 minutes"
	case BaoName:
		return "install OpenBao"
	case "consul-template", stepCAName:
		return "run `examples/lab/build.sh " + program + "`"
	}
	return "run `make lab`, or set " + BinEnv + " to a directory that holds it"
}

// builtDir returns the directory for the programs that `make lab` builds; "" outside the
// module.
func builtDir() string {
	dir, err := os.Getwd()
	if err != nil {
		return ""
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "examples", "lab", "doc.go")); err == nil {
			return filepath.Join(dir, "examples", "lab", "bin")
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return ""
		}
		dir = parent
	}
}

package remote

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	gitssh "github.com/go-git/go-git/v5/plumbing/transport/ssh"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"certroll/gitsync/fault"
	"certroll/spec/bounded"
)

// hostKeys finds the known keys of a host. certroll reads the files for each connection, so
// a corrected file needs no restart.
type hostKeys struct {
	files []string
	named bool   // certroll.hcl names the file
	addr  string // host:port
}

// knownHostsFiles returns the files in OpenSSH's order: the user's, then the system's.
func knownHostsFiles(a Auth) []string {
	if a.KnownHostsFile != "" {
		return []string{a.KnownHostsFile}
	}
	files := []string{"/etc/ssh/ssh_known_hosts"}
	if home, err := os.UserHomeDir(); err == nil {
		files = append([]string{filepath.Join(home, ".ssh", "known_hosts")}, files...)
	}
	return files
}

// hostCheck is the check of the host key of one connection.
type hostCheck struct {
	hostKeys
	known      ssh.HostKeyCallback // nil: there is no known_hosts file
	algorithms []string
	target     string        // the file that should have a missing key
	offered    ssh.PublicKey // the key that the server sent
	verdict    error         // the result of known for it
}

// open reads the files for one connection.
func (h hostKeys) open() (*hostCheck, error) {
	check := &hostCheck{hostKeys: h}
	var present []string
	for _, f := range h.files {
		info, err := os.Stat(f)
		if err == nil && h.passedOver(info) {
			continue
		}
		check.target = cmp.Or(check.target, f)
		if err != nil {
			continue
		}
		if err := bounded.Regular(f, bounded.Named); err != nil {
			return nil, &fault.Error{Kind: fault.Invalid, Doing: "reading the known hosts " + f, Detail: fault.Reason(err), Advice: "set known_hosts_file to a file of known hosts", Err: err}
		}
		present = append(present, f)
	}
	check.target = cmp.Or(check.target, h.files[0])
	if len(present) == 0 {
		// Connect all the same, to show the fingerprint in the error. The callback ends the
		// handshake before certroll sends any credential.
		return check, nil
	}
	db, err := gitssh.NewKnownHostsDb(present...)
	if err != nil {
		return nil, fault.BadSetting("reading "+strings.Join(present, " and "), err.Error(), "fix or remove that line")
	}
	check.known = db.HostKeyCallback()
	// Otherwise a server with several keys sends the one that it prefers, which may be
	// missing from the file (go-git#1551).
	check.algorithms = db.HostKeyAlgorithms(h.addr)
	return check, nil
}

// passedOver reports whether a file counts as empty: the null device, which is OpenSSH's way
// to have no known hosts, and anything but a regular file at a default path.
func (h hostKeys) passedOver(info os.FileInfo) bool {
	if null, err := os.Stat(os.DevNull); err == nil && os.SameFile(null, info) {
		return true
	}
	return !h.named && !info.Mode().IsRegular()
}

var errUnknownHost = errors.New("the host is in no known_hosts file")

// callback is the ssh.HostKeyCallback. It keeps the key and the result for explain.
func (c *hostCheck) callback(hostname string, remote net.Addr, key ssh.PublicKey) error {
	c.offered = key
	if c.known == nil {
		c.verdict = errUnknownHost
	} else {
		c.verdict = c.known(hostname, remote, key)
	}
	return c.verdict
}

// explain converts the error of a handshake into an error about the host's key.
func (c *hostCheck) explain(err error) error {
	var negotiation *ssh.AlgorithmNegotiationError
	var mismatch *knownhosts.KeyError
	var revoked *knownhosts.RevokedError
	switch {
	case errors.As(err, &negotiation) && len(c.algorithms) > 0 && c.offered == nil:
		return c.changed("it offers no key of the types on file there any more (" + strings.Join(c.algorithms, ", ") + ")")
	case c.verdict == nil:
		return err
	case errors.As(c.verdict, &revoked):
		return c.changed("its key " + fingerprint(c.offered) + " is marked as revoked")
	case errors.As(c.verdict, &mismatch) && len(mismatch.Want) > 0:
		return c.changed(fmt.Sprintf("it showed %s, but %s:%d has %s", fingerprint(c.offered),
			mismatch.Want[0].Filename, mismatch.Want[0].Line, fingerprint(mismatch.Want[0].Key)))
	default:
		return c.unknown()
	}
}

// unknown returns the error for a host that no file knows. The advice warns first:
// ssh-keyscan alone proves nothing.
func (c *hostCheck) unknown() error {
	host, port, _ := net.SplitHostPort(c.addr)
	scan := "ssh-keyscan "
	if port != "22" {
		scan += "-p " + port + " "
	}
	return &fault.Error{
		Kind:   fault.HostUnknown,
		Doing:  "connecting to " + c.addr,
		Detail: fmt.Sprintf("it showed the key %s, and %s has none for it", fingerprint(c.offered), strings.Join(c.files, " or ")),
		Advice: fmt.Sprintf("compare the fingerprint with the one its operator publishes, and only then run: %s-t %s %s >> %s",
			scan, scanType(c.offered), host, c.target),
	}
}

// changed returns the error for a host that has another key on file. It is loud, because
// the reason may be an attack.
func (c *hostCheck) changed(detail string) error {
	return &fault.Error{
		Kind:   fault.HostChanged,
		Doing:  "connecting to " + c.addr,
		Detail: "SOMEBODY MAY STAND BETWEEN YOU AND THE SERVER: " + detail,
		Advice: "nothing was sent; ask the server's operator whether its key was replaced, and change known_hosts only after that",
	}
}

func fingerprint(key ssh.PublicKey) string {
	return key.Type() + " " + ssh.FingerprintSHA256(key)
}

// scanType returns ssh-keyscan's name for a key type.
func scanType(key ssh.PublicKey) string {
	switch t := key.Type(); {
	case strings.HasPrefix(t, "ecdsa-"):
		return "ecdsa"
	case t == ssh.KeyAlgoRSA:
		return "rsa"
	default:
		return "ed25519"
	}
}

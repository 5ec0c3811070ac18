package remote

import (
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"certroll/gitsync/fault"
)

// scheme is how a remote is reached.
type scheme string

const (
	overHTTP  scheme = "http"
	overHTTPS scheme = "https"
	overSSH   scheme = "ssh"
	locally   scheme = "file"
)

// Location is a parsed URL of a repository, free of credentials.
type Location struct {
	scheme scheme
	user   string // SSH
	host   string // without port or brackets
	port   int    // 0: the scheme's own
	Path   string // as the remote is asked for it; absolute for a local one
}

// scpLike is git's other way to write an SSH URL: [user@]host:path. What
// has a slash before the first colon is a path (git-clone(1), GIT URLS).
var scpLike = regexp.MustCompile(`^(?:([^/@:]+)@)?(\[[^\]/]+\]|[^/:\[]+):(.+)$`)

// parseLocation reads any URL that git itself would take over the transports
// spoken here, and the credentials in it.
func parseLocation(raw string) (loc Location, user, password string, err error) {
	doing := "reading the repository's URL"
	if raw == "" {
		return loc, "", "", fault.BadSetting(doing, "it is empty", "set the repository's url")
	}
	if !strings.Contains(raw, "://") {
		if m := scpLike.FindStringSubmatch(raw); m != nil {
			return sshLocation(m[1], strings.Trim(m[2], "[]"), 0, m[3]), "", "", nil
		}
		return localLocation(raw)
	}
	u, err := url.Parse(raw)
	if err != nil {
		// url.Error repeats its input, which may hold a password.
		return loc, "", "", fault.BadSetting(doing, "it cannot be parsed", "write it as https://host/path, ssh://git@host/path or a path")
	}
	port, err := portOf(u)
	if err != nil {
		return loc, "", "", fault.BadSetting(doing, err.Error(), "")
	}
	switch s := scheme(strings.ToLower(u.Scheme)); s {
	case overHTTP, overHTTPS:
		if u.Hostname() == "" {
			return loc, "", "", fault.BadSetting(doing, "it names no host", "write it as https://host/path")
		}
		password, _ = u.User.Password()
		return Location{scheme: s, host: u.Hostname(), port: port, Path: u.EscapedPath()}, u.User.Username(), password, nil
	case overSSH, "git+ssh", "ssh+git":
		if u.Hostname() == "" {
			return loc, "", "", fault.BadSetting(doing, "it names no host", "write it as ssh://git@host/path")
		}
		// A password in an SSH URL is of no use here and is dropped unseen.
		return sshLocation(u.User.Username(), u.Hostname(), port, sshPath(u.Path)), "", "", nil
	case locally:
		return localLocation(u.Path)
	default:
		return loc, "", "", fault.BadSetting(doing, fmt.Sprintf("the scheme %q is not spoken here", u.Scheme),
			"use https://, ssh:// or a local path")
	}
}

func portOf(u *url.URL) (int, error) {
	if u.Port() == "" {
		return 0, nil
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil || port < 1 || port > 65535 {
		return 0, fmt.Errorf("port %q is not one of 1 to 65535", u.Port())
	}
	return port, nil
}

// sshPath keeps git's "/~user/path", which means below a home.
func sshPath(path string) string {
	if strings.HasPrefix(path, "/~") {
		return path[1:]
	}
	return path
}

func sshLocation(user, host string, port int, path string) Location {
	if user == "" {
		user = "git"
	}
	return Location{scheme: overSSH, user: user, host: host, port: port, Path: path}
}

func localLocation(path string) (Location, string, string, error) {
	abs, err := filepath.Abs(path)
	if err != nil || path == "" {
		return Location{}, "", "", fault.BadSetting("reading the repository's URL", fmt.Sprintf("%q is no path", path), "")
	}
	return Location{scheme: locally, Path: abs}, "", "", nil
}

// address is what to dial.
func (l Location) address(defaultPort int) string {
	port := l.port
	if port == 0 {
		port = defaultPort
	}
	return net.JoinHostPort(l.host, strconv.Itoa(port))
}

// String is the location as shown to people; it has no credentials.
func (l Location) String() string {
	if l.scheme == locally {
		return l.Path
	}
	host := l.host
	switch {
	case l.port != 0:
		host = l.address(0)
	case strings.Contains(host, ":"):
		host = "[" + host + "]"
	}
	if l.scheme == overSSH {
		host = l.user + "@" + host
	}
	path := l.Path
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return string(l.scheme) + "://" + host + path
}

// demandsMultiAck tells whether the host is Azure DevOps by its URL: it answers 400
// to who does not ask for multi_ack (gitprotocol-capabilities(5)). In one request
// that has all of "have" and "done", that capability changes no more than the words
// of the ACK lines.
func (l Location) demandsMultiAck() bool {
	switch l.scheme {
	case overHTTP, overHTTPS:
		return strings.Contains(l.Path, "/_git/")
	case overSSH:
		return l.host == "ssh.dev.azure.com" || strings.HasSuffix(l.host, ".visualstudio.com")
	}
	return false
}

// IsLocal tells whether the repository is at a path of this machine.
func (l Location) IsLocal() bool { return l.scheme == locally }

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

// scheme is the transport of a remote.
type scheme string

const (
	overHTTP  scheme = "http"
	overHTTPS scheme = "https"
	overSSH   scheme = "ssh"
	locally   scheme = "file"
)

// Location is the parsed URL of a repository, without credentials.
type Location struct {
	scheme scheme
	user   string // SSH only
	host   string // without port and brackets
	port   int    // 0: the default port of the scheme
	Path   string // the path to send to the server; absolute for a local repository
}

// scpLike matches git's short form of an SSH URL: [user@]host:path. With a slash before the
// first colon it is a local path (git-clone(1), GIT URLS).
var scpLike = regexp.MustCompile(`^(?:([^/@:]+)@)?(\[[^\]/]+\]|[^/:\[]+):(.+)$`)

// parseLocation parses any URL that git accepts for these transports. It returns the
// credentials in the URL separately.
func parseLocation(raw string) (loc Location, user, password string, err error) {
	doing := "reading the repository's URL"
	if raw == "" {
		return loc, "", "", fault.BadSetting(doing, "it is empty", "set the repository's url")
	}
	if !strings.Contains(raw, "://") {
		// Before local paths, as in git: "host:path" is an SSH URL even if such a file
		// exists.
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
		// SSH here has no password login: drop the password.
		return sshLocation(u.User.Username(), u.Hostname(), port, sshPath(u.Path)), "", "", nil
	case locally:
		return localLocation(u.Path)
	default:
		return loc, "", "", fault.BadSetting(doing, fmt.Sprintf("the scheme %q is not spoken here", u.Scheme),
			"use https://, ssh:// or a local path")
	}
}

// portOf returns the port of a URL; 0 if it has none. url.Parse accepts any number.
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

// sshPath keeps git's "/~user/path", a path below a home directory, without the slash.
func sshPath(path string) string {
	if strings.HasPrefix(path, "/~") {
		return path[1:]
	}
	return path
}

// sshLocation fills in the user git, which the well-known hosts expect.
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

// address returns host:port to dial.
func (l Location) address(defaultPort int) string {
	port := l.port
	if port == 0 {
		port = defaultPort
	}
	return net.JoinHostPort(l.host, strconv.Itoa(port))
}

// String returns the location without credentials, for messages.
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

// demandsMultiAck reports whether the URL is one of Azure DevOps, which answers 400 to a
// request without multi_ack (gitprotocol-capabilities(5)). certroll sends all "have" lines
// and "done" in one request. With such a request the capability changes only the words of
// the ACK lines.
func (l Location) demandsMultiAck() bool {
	switch l.scheme {
	case overHTTP, overHTTPS:
		return strings.Contains(l.Path, "/_git/")
	case overSSH:
		return l.host == "ssh.dev.azure.com" || strings.HasSuffix(l.host, ".visualstudio.com")
	}
	return false
}

// IsLocal reports whether the repository is at a path on this machine.
func (l Location) IsLocal() bool { return l.scheme == locally }

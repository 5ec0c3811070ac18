// Package remote owns the connection to a repository elsewhere: its URL, the login, the
// transports, and the kind of error for each answer of the other end.
//
// # Transports
//
// HTTP and HTTPS use go-git, which never sends a token to the target of a redirect on
// another host. SSH uses x/crypto/ssh directly. go-git's SSH dials without the context,
// keeps only the first line of the server's stderr, and reads parts of ~/.ssh/config.
// known_hosts is always enforced. certroll offers only the host key algorithms that
// known_hosts has for the host. Otherwise a server with several keys may show one that is
// not in the file, and the check would fail (go-git#1551).
//
// For a local path it runs git's own programs, `git upload-pack` and `git receive-pack`,
// because only those honour the repository's hooks and locks.
//
// It never writes a credential anywhere: it strikes credentials out of URLs in errors and
// out of the remote's own words. It never decides what to fetch or push, nor whether to
// retry.
package remote

// Package remote owns the way to a repository elsewhere: its URL, the login, the
// transports, and what the other end's answers mean.
//
// # Transports
//
// HTTP and HTTPS are go-git's, whose handling of redirects keeps a token from
// following them to another host. SSH is ours over x/crypto/ssh, because
// go-git's dials without the context, keeps only the first line of what the
// server says on stderr, and takes parts of ~/.ssh/config. known_hosts is
// always enforced; the host key algorithms offered are those that the file has
// for the host, so that a server with several keys is not refused for the one
// that is not in the file.
//
// A local path is served by git's own programs, `git upload-pack` and
// `git receive-pack`, since only those honour the repository's hooks and locks.
//
// It never writes a credential anywhere: URLs in errors have theirs struck out, and so
// do the remote's own words. It never decides what to fetch or push, nor whether to try
// again.
package remote

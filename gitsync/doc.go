// Package gitsync moves files between Git repositories and the reconciler. It
// knows nothing of certificates, records or events.
//
// # What it owns
//
//   - Source reads the *.hcl files of one revision of the config repo; ReadDir
//     reads them from a plain directory.
//   - Ledger reads and writes a branch through the object database, without a
//     work tree.
//   - Revise commits a person's change to a branch of the config repo, by the
//     Ledger's compare-and-swap.
//   - Journal is a durable queue on the local disk for what waits to be pushed.
//
// # What it never does
//
// It never checks out a file, never runs a hook of ours, never follows a
// symbolic link or a submodule, and never writes a credential anywhere: URLs
// in errors have theirs struck out, and so do the remote's own words.
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
// A local path is read straight from the repository's object database by a
// Source, without a git program, and so is a Checkout. A Ledger at a local path runs
// `git upload-pack` and `git receive-pack`, since only those honour the
// repository's hooks and locks.
//
// # Sizes
//
// No size from outside is believed. A pack is streamed to its place and indexed
// by packIndex, not by go-git, whose parser inflates each object whole: sizes in
// the heads of objects and deltas are held against the bounds before anything is
// inflated, whole objects are hashed as they stream by, and deltas are resolved
// only as far as they can be files that are read. A Source refuses a pack that
// goes beyond its bounds by the path of the object; a Ledger, whose pushers are
// not to stop renewals, leaves that one file unread. What is read later is held
// against a limit by its size first.
//
// The objects of a local repository were checked by nobody, and git may repack them
// at any time: localObjects reads the heads of an object and of all that it is stored
// as a difference to before it makes the first byte, in what the repository borrows
// from others (alternates) too. go-git's reader holds no size against anything.
//
// # Cost
//
// The first fetch is shallow. A later one asks for what is new since the last
// (shallow and have lines in one request), and an unchanged remote costs one
// listing of its refs. A push sends a pack with the new objects alone, each as
// a delta against what it replaces, with the old hash spelled out: the remote
// compares and swaps, and history is never walked. When what has piled up
// exceeds what is live, the live tree is copied into a new store and the old
// one dropped; in memory mode too, where objects stay compressed.
//
// Commits are signed over their bytes as they are sent (signing.go), by a key
// that is read once. A token file is read for each conversation.
//
// # Whose commits are taken
//
// See Signers: a commit is verified over its raw bytes, never over what go-git
// writes anew of what it parsed, and only if those bytes can be read in one way
// (parseSigned). See Source.Follows for a head that does not descend from the
// one that was taken last. Either is an Error with Held set, and the caller's to
// tell.
//
// # A ledger that was rewritten
//
// See Ledger.Rewound: the last head seen is kept in memory and, where a cache
// directory is set, on disk; a head that does not descend from it is told
// until a commit of ours stands on the branch after somebody asked. A process
// that finds the cache taken learns from its state file what the other one saw.
// Ledger.Descends answers for a head that somebody else remembers, and
// Ledger.Walk shows all commits, for who wants to check them one by one.
package gitsync

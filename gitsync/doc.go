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
//
// The packages below it own the rest, from the lowest: fault its error; filelock and
// journal what is on the local disk; packfile and objects what was fetched; remote the
// transports; signature the signatures of commits.
//
// # What it never does
//
// It never checks out a file, never runs a hook of ours, never follows a
// symbolic link or a submodule, and never writes a credential anywhere.
//
// A local path is read straight from the repository's object database by a
// Source, without a git program, and so is a Checkout. A Ledger at a local path runs
// git's own programs; see remote.
//
// # Sizes
//
// It believes no size from outside; see packfile and objects. A Source refuses a pack
// that goes beyond its bounds by the path of the object; a Ledger, whose pushers are
// not to stop renewals, leaves that one file unread. What is read later is held
// against a limit by its size first.
//
// # Cost
//
// The first fetch is shallow. A later one asks for what is new since the last
// (shallow and have lines in one request), and an unchanged remote costs one
// listing of its refs. A push sends a pack with the new objects alone, each as
// a delta against what it replaces, with the old hash spelled out: the remote
// compares and swaps, and history is never walked.
//
// # Whose commits are taken
//
// See signature. See Source.Follows for a head that does not descend from the
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

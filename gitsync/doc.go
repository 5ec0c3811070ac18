// Package gitsync transfers files between Git repositories and the reconciler. It knows
// nothing about certificates, records or events.
//
// # What it owns
//
//   - Source reads the *.hcl files of one revision of the config repo; ReadDir reads
//     them from a plain directory.
//   - Ledger reads and writes a branch through the object database, without a work
//     tree.
//   - Revise commits a person's change to a branch of the config repo, with the Ledger's
//     compare-and-swap.
//
// The packages below it own the rest, from the lowest: fault the error; filelock and
// journal files on the local disk; packfile and objects the fetched objects; remote the
// transports; signature the signatures of commits.
//
// # What it never does
//
// It never checks out a file, never runs a hook of the local repository for itself, never
// follows a symbolic link or a submodule, and never writes a credential anywhere.
//
// A Source at a local path and a Checkout read the repository's object database directly,
// without a git program. A Ledger at a local path runs git's own programs; see remote.
//
// # Sizes
//
// It trusts no size from outside; see packfile and objects. A Source rejects a pack over
// its bounds, and names the path of the object. A Ledger leaves only that file unread,
// because a user who may push to the ledger must not be able to stop renewals. Later reads
// check the size of an object before its content.
//
// # Cost
//
// The first fetch is shallow. A later fetch requests only the objects since the last one
// ("shallow" and "have" lines in one request). For an unchanged remote it costs one listing
// of the refs. A push sends a pack with only the new objects, each as a delta against the
// object that it replaces, and names the old hash. The remote compares and swaps, and
// certroll never walks the history.
//
// # Accepted commits
//
// See package signature, and Source.Follows for a head that does not descend from the last
// accepted one. Both return an Error with Held set, and the caller reports it.
//
// # A rewritten ledger
//
// See Ledger.Rewound. The Ledger remembers the last head that it saw, in memory and in the
// cache directory if there is one. It reports a head that does not descend from it until a
// commit of certroll is on the branch after a call of Rewound. A process that finds the
// cache locked reads the last head from the state file of the other process.
// Ledger.Descends answers the same question for a head that the caller remembers, such as
// the checkpoint. Ledger.Walk returns all commits, for a check of each one.
package gitsync

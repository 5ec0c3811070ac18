// Package signature owns the signatures of commits: it verifies those of the config
// repo and makes those of the ledger.
//
// # Whose commits are accepted
//
// See Signers: a commit is verified over its raw bytes, never over what go-git writes
// of what it parsed, and only if those bytes can be read in one way (parseSigned).
// Commits are signed over their bytes as they are sent, by a key that is read once.
//
// It never fetches a commit, and never decides what becomes of one that is refused.
package signature

// Package signature owns the signatures of commits: it verifies those of the config repo
// and makes those of the ledger.
//
// # Accepted commits
//
// Signers.Verify checks a commit's raw bytes. go-git verifies the bytes that it encodes
// from the parsed commit, which may differ from the signed ones. parseSigned accepts only
// bytes that have one reading. Key signs the bytes that the push sends, with a key that
// certroll reads once.
//
// It never fetches a commit, and never decides the consequence of a rejected one.
package signature

// Package completion completes arguments and flags in a shell: names of certificates,
// issuers and branches, and fixed values.
//
// It reads the ledger and the config repo for at most a few seconds. If it finds nothing
// it prints nothing: an error would disturb the line that the person is typing.
package completion

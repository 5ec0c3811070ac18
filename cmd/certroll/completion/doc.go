// Package completion completes arguments and flags in a shell: names of certificates,
// issuers, branches and fixed values.
//
// It asks the ledger and the config repo for a few seconds at most, and says nothing where
// it finds nothing: nobody reads an error in the middle of a line.
package completion

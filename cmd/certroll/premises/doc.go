// Package premises checks the conditions of an apply other than the CA and the DNS: the
// Vault token's capabilities, the ledger, references, destinations, clocks and the disk.
//
// It owns these findings' thresholds and advice. It writes only a test file into the
// state directory, and removes it.
package premises

// Package wiring connects the parts of certroll: Vault, the ledger, the ACME client, the
// journal, and the reconciler on top of them.
//
// It owns the paths of certroll's state in Vault and in the state directory, and the
// order of closing. It decides nothing: commands and the daemon use what it returns.
package wiring

// Package wiring connects the parts of certroll: Vault, the ledger, the CA's client, the
// journal, and the reconciler on top of them.
//
// It owns where certroll keeps its state in Vault and in the state directory, and who
// closes what. It decides nothing: commands and the daemon work with what it returns.
package wiring

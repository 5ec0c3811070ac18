// Package proposal makes a plan for a command: it reads the config repo, observes Vault or
// the ledger, plans, and reviews a change against its base.
//
// It owns the order of these steps and the warnings about what was not checked. It applies
// nothing, and prints only mistakes of the files and warnings.
package proposal

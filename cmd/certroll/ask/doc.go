// Package ask has the commands that ask how things are: status, expiring and audit. They
// read the ledger, and certroll run where it serves.
//
// It owns which of the two answers when the other is away, the files of the status page,
// and the finding that a ledger was rewritten. Audit accept is the one command of it that
// writes: a person's word that a loss is accepted.
//
// It asks neither a CA nor the config repo; Vault only for the ledger's anchor.
package ask

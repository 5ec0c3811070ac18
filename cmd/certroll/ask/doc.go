// Package ask has the commands that report the present state: status, expiring and
// audit. They read the ledger, and certroll run if it serves.
//
// It owns the choice between the two when one is unavailable, the files of the status
// page, and the findings about a rewritten ledger. Only audit accept writes: it records
// that a person accepts a loss.
//
// It contacts neither a CA nor the config repo, and Vault only for the ledger's
// checkpoint.
package ask

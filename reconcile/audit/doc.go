// Package audit verifies that certroll only ever appended to the ledger: by the hash chain
// of the audit log, the history of the branch, and the checkpoint in Vault.
//
// It reports breaches and repairs nothing. certroll writes the checkpoint after the push,
// so the checkpoint may lag behind the ledger, but is never ahead of it.
package audit

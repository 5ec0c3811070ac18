// Package audit verifies that the ledger was only added to: the hash chain of the audit
// log, the history of its branch, and the checkpoint that Vault holds.
//
// It finds breaches and repairs nothing. The checkpoint lags behind the ledger, never the
// other way round: it is written after the push.
package audit

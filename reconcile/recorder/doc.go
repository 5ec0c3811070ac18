// Package recorder is the only writer of the ledger. It writes entries to the journal
// first, then publishes all that ended together in one commit, then writes the checkpoint
// in Vault.
//
//	Note ──▶ journal ── Publish ──▶ ledger ──▶ checkpoint
//	             └──────── OnPublished(entries) ─────▶ pending secrets go
//
// It knows no attempt and no CA. Its owner handles the consequences of a push.
//
//   - Retry bypasses the journal and writes to the ledger directly: a person can repeat the
//     command, and a daemon may have the journal open. A retry ends a wait but keeps the
//     failure count. Only the next pass acts on it.
//   - After each push the ledger's position is stored in Vault as a checkpoint. certroll
//     reports a ledger that does not continue from there, and keeps working. The checkpoint
//     advances only once the ledger has the report, whose ID derives from the checkpoint.
package recorder

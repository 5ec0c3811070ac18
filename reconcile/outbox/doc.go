// Package outbox derives notices from the audit log and delivers them to each destination
// independently, at least once.
//
//	audit log ─▶ classifier ─▶ groups ─▶ message stored in Vault ─▶ destination ─▶ cursor in Vault
//
// The audit log has every event, so that it serves as the outbox itself. The position of
// each destination is stored in Vault beside the checkpoint: there it survives the disk
// and all replicas share it. In the ledger each message would cause a commit, which is an
// event again. The position moves after a delivery, so that a message may arrive twice
// but is never lost. Messages are stored before they are sent. A message composed again
// would differ, because the records have changed since, and the receiver could not
// recognize the duplicate.
package outbox

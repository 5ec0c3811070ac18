// Package outbox reads notices off the audit log and delivers them, each destination at its
// own pace and at least once.
//
//	audit log ─▶ classifier ─▶ groups ─▶ message, kept in Vault ─▶ destination ─▶ cursor in Vault
//
// The audit log has every event already: it is the outbox, and no second one is kept. How
// far each destination was told stands in Vault beside the checkpoint, where it outlives
// the disk and is the same for all replicas; in the ledger each message would be a commit,
// which is an event to tell of in turn. The cursor moves after a message was taken, so that
// one may come twice and none is lost. Messages are kept before they are sent: made again,
// a message would differ by what records say since, and its reader could not tell.
package outbox

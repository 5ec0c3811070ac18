// Package observe reads what exists: the custom metadata of secrets in KV v2, the
// metadata of certroll's own secrets, and the records of the ledger.
//
// It reads no private key: a token that may read metadata is enough (docs/vault-policies.md).
// A place that cannot be read is marked and holds up only its own certificate.
package observe

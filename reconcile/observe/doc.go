// Package observe reads the observed state: the custom metadata of secrets in KV v2, the
// metadata of certroll's own secrets, and the records of the ledger.
//
// It reads no private key: a token with access to metadata is enough
// (docs/vault-policies.md). An unreadable path delays only the certificate that uses it.
package observe

// Package vault keeps secrets in HashiCorp Vault KV v2.
//
// It owns the login and its renewal, check-and-set writes, custom metadata,
// named documents that are created once, an anchor for what lies elsewhere, and
// the lease that lets one writer in at a time. It knows nothing of certificates: what a field or a metadata key
// means is for its callers to say.
//
// It never prints or returns a token, and never takes a Vault that cannot be
// read for one that is empty: every error says what was being done to which
// path, what Vault answered in its own words, and what to do next.
package vault

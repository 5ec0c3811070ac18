// Package vault reads and writes secrets in HashiCorp Vault KV v2.
//
// It owns the login and its renewal, check-and-set writes, custom metadata, named
// documents that are created once, the anchor for positions in other systems, and the
// lease that lets one certroll write at a time. It knows nothing of certificates: its
// callers define the meaning of fields and metadata.
//
// It never prints or returns a token, and never mistakes an unreadable Vault for an empty
// one. Every error names the operation and the path, quotes Vault's answer, and gives a
// next step.
package vault

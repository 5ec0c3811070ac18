// Package importing takes over existing certificates: pairs in Vault, and those in the
// directories of other ACME clients.
//
// Each reader knows one tool's directory layout, read through an fs.FS. It returns a
// Found for each certificate: the pair, its settings, and what cannot be imported. HCL
// turns these into configuration, and Take writes pairs to Vault. Nothing is issued, and
// no secret in Vault is overwritten: the next apply adopts the pairs by its own rules
// (keypair.CheckPair).
//
// A private key goes from its file to Vault, and appears in no text that this package
// makes. The package opens no file with credentials of DNS providers.
package importing

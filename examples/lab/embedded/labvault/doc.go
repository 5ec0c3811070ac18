// Command labvault serves HashiCorp Vault's KV secrets engine, on loopback and in memory,
// for the demo and the tests.
//
// The engine is Vault's own: the module vault-plugin-secrets-kv, in the version of the
// pinned Vault, on the in-memory storage of Vault's SDK. A front implements the part of
// Vault's HTTP API that certroll, its tests and `vault kv` use: health, seal and unseal,
// mounts, tokens, AppRole. labvault builds in seconds, because certroll already uses most
// of its packages; Vault takes minutes.
//
// labvault is no replacement for Vault. It has no policies: every valid token may do
// everything, and writing a policy is an error, so that no test of a policy passes here.
// It has no storage on disk, no TLS, no audit device, no namespaces, no leases, no engine
// but KV, and no auth method but token and AppRole.
//
// A test compares the front's answers with a real Vault's: see TestEmbeddedAnswersAsVault
// in examples/lab.
package main

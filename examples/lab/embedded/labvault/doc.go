// Command labvault serves the KV secrets engine that HashiCorp Vault runs, on
// loopback and in memory, for the demo and the tests.
//
// The engine is Vault's own: the module vault-plugin-secrets-kv, at the version
// that the pinned Vault has, on the in-memory storage of Vault's SDK. Around it
// stands a front with the part of Vault's HTTP API that certroll, its tests and
// `vault kv` use: health, seal and unseal, mounts, tokens, AppRole. It builds in
// seconds, since most of its packages are certroll's own; Vault takes minutes.
//
// It is no Vault. There are no policies: every valid token may do everything, and
// writing a policy is refused, so that no test of a policy passes here. There is
// no storage on disk, no TLS, no audit device, no namespace, no lease, no engine
// but KV, and no auth method but token and AppRole.
//
// What the front answers is compared with a real Vault's answers: see
// TestEmbeddedAnswersAsVault in examples/lab.
package main

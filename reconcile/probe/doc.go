// Package probe fetches the certificates that servers serve.
//
// It owns the connection: resolving a host, checking its addresses against the rules,
// reaching TLS over a plain-text protocol, and the handshake. It sends nothing after the
// handshake, has no credential, and does not judge certificates: package reconcile does.
//
// # Decisions
//
//   - A host is resolved once, and certroll dials the checked addresses, so that a DNS answer that changes later (rebinding) has no effect.
//   - All addresses are checked, up to a bound: one of several servers behind a name may still serve an old certificate.
//   - Probes use no proxy. Errors name no denied address: they end up in Git, and would publish the answers of the reconciler's resolver.
//   - A server that demands a client certificate has already sent its own, so the failed handshake is good enough.
package probe

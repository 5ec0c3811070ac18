// Package probe asks servers for the certificates that they serve.
//
// It owns the connection: which addresses a host leads to, which of them may
// be connected to, how a protocol comes to TLS, and the handshake. It sends
// nothing after that, has no credential, and judges nothing: what a
// certificate is worth is package reconcile's to say.
//
// # Decisions
//
//   - The addresses are resolved first and connected to as such: what was held
//     against the rules is what is dialed, whatever DNS says a moment later.
//   - All addresses are asked, to a bound: of several servers behind one name
//     one may have been forgotten.
//   - No proxy is used, and no address is named to whom it is denied: that would
//     tell in Git what the reconciler's resolver knows.
//   - A server that wants a certificate of the client has shown its own by
//     then, which is all that is wanted.
package probe

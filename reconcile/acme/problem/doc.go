// Package problem defines the failures between certroll and the CAs and DNS providers:
// the Error with its class, the Finding of an examination, and the reading of ACME
// problem documents (RFC 7807, RFC 8555 section 6.7).
//
// Every error is, or wraps, an *Error. It carries the operation and its object, the
// other side's words, advice, a class, a retry time, and whether the order is lost. An
// interrupted call unwraps to the context's error. Signed tokens (such as a CA's unpause
// link) and credentials are removed from all texts.
//
// The package makes no requests: it judges answers that other packages received.
package problem

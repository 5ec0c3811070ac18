// Package problem owns the words for what goes wrong between certroll and the
// CAs and DNS providers: the Error and its class, the Finding of an examination,
// and what follows from an ACME problem document (RFC 7807, RFC 8555 section 6.7).
//
// Every error is, or wraps, an *Error: what was being done to what, the other
// side's words, what to do, a class, a time to wait for, and whether the order
// is lost. An interrupted call unwraps to the context's error. Signed tokens
// (a CA's unpause link) and the values of credentials are struck out.
//
// It asks nobody anything: it judges answers that others have got.
package problem

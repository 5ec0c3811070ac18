// Package throttle is the arithmetic that keeps certroll from asking too much: back-off
// after failures, the rate limits of CAs, and the circuit of an issuer or DNS account that
// fails for many certificates.
//
// It is pure. All it knows it reads from the ledger's events, so that a restart, a crash
// loop and another replica compute the same.
package throttle

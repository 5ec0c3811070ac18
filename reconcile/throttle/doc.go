// Package throttle computes how long certroll has to wait: back-off after failures, the
// rate limits of CAs, and the circuit breaker of an issuer or DNS account that fails for
// many certificates.
//
// The package is pure. Its only input is the ledger's events, so that a restart, a crash
// loop and another replica compute the same waits.
package throttle

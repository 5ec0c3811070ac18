// Package limiter is the breaker within a pass: it keeps concurrent actions from using an
// issuer or a DNS account that fails.
//
// It starts slowly after a failure, and rejects the remaining actions once enough
// certificates of different sources have failed. Between passes, package throttle decides
// from the same events, so that the two never disagree.
package limiter

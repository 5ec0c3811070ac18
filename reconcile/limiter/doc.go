// Package limiter stops a pass from asking an issuer or a DNS account that fails: it is the
// breaker within a pass, over the actions that run side by side.
//
// It starts slowly where something failed before, and closes for the rest when enough
// certificates of different sources have failed. The breaker between passes is package
// throttle's, which reads the same events: they never disagree.
package limiter

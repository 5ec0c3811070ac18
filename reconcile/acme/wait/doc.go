// Package wait spaces repeated polls and waits for short-lived conditions, such as an
// address that is still in use.
//
// It never waits beyond the end of its caller's context.
package wait

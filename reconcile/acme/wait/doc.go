// Package wait spaces what is asked again and again, and waits for what takes a
// moment, as an address that is still in use.
//
// It never waits longer than its caller's context lives.
package wait

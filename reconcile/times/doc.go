// Package times has the few helpers for moments and durations that the core shares. It
// reads no clock.
package times

// Package times has the helpers for times and durations that several packages of the core
// use. It reads no clock.
package times

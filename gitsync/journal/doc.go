// Package journal owns a durable queue of lines on the local disk, for what waits to
// be pushed.
//
// It never talks to a remote, and never reads what a line means.
package journal

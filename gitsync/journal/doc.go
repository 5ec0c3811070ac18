// Package journal owns a durable queue of lines on the local disk. It keeps the events that
// the ledger does not have yet.
//
// It never talks to a remote, and never interprets a line.
package journal

// Package failure has the error of the core, and reads class, owner and consequence off
// an error of a port: may it be tried again, when, is the order gone, whose matter is it.
//
// Adapters satisfy its small interfaces without importing it. It never makes up words:
// Message is the upstream's own text without secrets.
package failure

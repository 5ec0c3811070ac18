// Package failure has the core's error type. It reads class, owner and consequences off an
// error from a port: whether and when to retry, whether the order is gone, and the party
// that the failure belongs to.
//
// Adapters satisfy its small interfaces without importing it. It never invents a message:
// Message is the upstream's own text without secrets.
package failure

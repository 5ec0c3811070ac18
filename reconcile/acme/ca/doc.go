// Package ca connects to ACME CAs: connections, the directory, renewal information (RFC
// 9773), and the interpretation of a CA's error answers. The accounts of one CA share
// its connections and its directory.
//
// lego's API takes no context and returns no headers. RoundTrip gives each of lego's
// requests the context of its call, bounds its time and the size of its answer, and
// records the status and Retry-After.
//
// The package has no account and signs nothing: see package session.
package ca

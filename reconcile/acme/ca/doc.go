// Package ca is the way to ACME CAs: connections, the directory, renewal
// information (RFC 9773), and what a CA's answer means when it is an error.
// Accounts of one CA share its connections and its directory.
//
// lego's API knows no contexts and no headers of an answer. RoundTrip gives a request
// of lego's the context of its call, bounds its time and the size of its answer, and
// remembers the answer with its Retry-After.
//
// It has no account and signs nothing: that is package session's.
package ca

// Package session owns the ACME accounts: their keys and documents in the store, their
// registration, and the signed requests that are made with them.
//
// An account's key is written to the store before the CA hears of it, and only
// where there is none (account.go), so that replicas that start together share
// one. A CA that has forgotten the account gets the same key registered again.
// An account that the CA does not take any more is replaced by a person alone
// (dead.go).
//
// A Session lends a core of lego's to one call at a time; the core's transport has
// that call's context. Ten requests of an account are under way at once at most,
// however many certificates and names are being worked on: those mostly wait.
//
// The account's key goes from the store into memory and nowhere else. The package
// never makes an order: it does not know what a request is for.
package session

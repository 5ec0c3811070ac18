// Package session owns the ACME accounts: their keys and documents in the store, their
// registration, and the requests signed with their keys.
//
// The key of an account is in the store before the CA sees it, and is written only if
// there is none (account.go), so that replicas that start together share one. If a CA
// loses the account, the package registers the same key again. If a CA rejects the
// account, only a person replaces it (dead.go).
//
// A Session lends one of lego's cores to one call at a time; the core's transport uses
// that call's context. At most ten requests of an account run concurrently, for any
// number of certificates and names: most of the work is waiting.
//
// The account's key goes from the store into memory and nowhere else. The package
// creates no orders and does not know the purpose of a request.
package session

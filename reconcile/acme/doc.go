// Package acme is the boundary to ACME CAs and DNS providers, and with the
// packages below it the only one that imports lego: orders, challenges, finalizing, revocation (RFC 8555,
// RFC 8737, RFC 8738, the profiles draft, the replaces field of RFC 9773).
//
// It never decides whether or when: a call here is one attempt, and what comes
// of a failure is the caller's. It never sees a certificate's private key, and
// the account's key goes from the store into memory and nowhere else.
//
// The packages below it, from the top. Each imports those beneath it at most:
//
//	acme         Client: orders, finalizing, chains, revocation
//	examine      what a renewal will depend on
//	solver       challenges; which DNS account is tried next
//	publish      TXT records: written, seen, removed
//	session      ACME accounts and requests signed with them
//	dnsprovider  DNS providers in child processes
//	ca           connections to CAs, directory, renewal information
//	dnsquery     questions to name servers
//	problem      errors, findings, problem documents
//	wait         pauses between questions
//
// # Orders
//
// Order and Finish are two calls, so that the order's URL can be stored in
// between; lego's own Obtain cannot be left half way. Finish takes the order
// up in whatever state it is: it is the same call after a crash.
package acme

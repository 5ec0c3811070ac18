// Package acme is the boundary to ACME CAs and DNS providers. Only this package and
// those below it import lego. It covers orders, challenges, finalizing and revocation:
// RFC 8555, RFC 8737 (tls-alpn-01), RFC 8738 (IP identifiers), the profiles draft and
// the replaces field of RFC 9773.
//
// It never decides whether or when to order: one call is one attempt, and the caller
// handles the failure. It never sees a certificate's private key. The ACME account's key
// goes from the store into memory and nowhere else.
//
// The packages, from the top. Each imports only packages below it:
//
//	acme         Client: orders, finalizing, chains, revocation
//	examine      checks of the conditions that a renewal depends on
//	solver       challenges; the order in which DNS accounts are tried
//	publish      TXT records: write, wait for visibility, remove
//	session      ACME accounts and requests signed with their keys
//	dnsprovider  DNS providers in child processes
//	ca           connections to CAs, directory, renewal information
//	dnsquery     queries to name servers
//	problem      errors, findings, problem documents
//	wait         pauses between polls
//
// # Orders
//
// Order and Finish are separate calls, so that the caller can store the order's URL in
// between. lego's own Obtain cannot be interrupted and resumed. Finish continues the
// order from any state, so a restarted process calls it in the same way.
package acme

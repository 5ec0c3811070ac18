// Package examine checks the conditions of a renewal before the CA does: CAA records,
// delegation and DNSSEC, the CA's directory, the ACME account, and, with a canary, the
// publication of a TXT record.
//
// An exam caches the resolvers' answers. It determines how far up the tree an outage
// reaches, so that a broken zone is one Finding and not one per name. A canary is an
// ordinary publication without a CA.
//
// The package creates no order, and neither creates nor changes an account.
package examine

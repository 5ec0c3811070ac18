// Package publish writes the TXT records of dns-01 challenges through DNS accounts,
// waits until they can be seen, and removes them.
//
// A TXT record set shared by several challenges is dealt with in names.go: a
// name and its wildcard are answered together where the provider can hold two
// values; one after another where it cannot (lego's rfc2136 replaces the set),
// and then the second waits until resolvers of the CA have forgotten the
// first: for the record's TTL, a minute at most. A low TTL in the account's
// credentials (DNSUPDATE_TTL) shortens that.
//
// A provider that replaces or deletes whole sets is kept from somebody else's
// records by a look at the name servers, before writing and before removing
// (foreign.go). RemoveLeft removes what a process that died has left.
//
// It never asks a CA: a callback does, while the records stand.
package publish

// Package publish writes the TXT records of dns-01 challenges through DNS accounts,
// waits until they are visible, and removes them.
//
// Several challenges may share a record name (names.go). If the provider can hold two
// values, the package answers a name and its wildcard together. If it cannot, it answers
// them one after another. The second then waits until the CA's resolvers have dropped
// the first answer from their cache: the record's TTL, at most a minute. A low TTL in
// the account's credentials (DNSUPDATE_TTL) shortens the wait.
//
// Before a provider that replaces or deletes whole record sets writes or removes
// anything, the package checks the name servers for foreign records (foreign.go).
// RemoveLeft removes the records of a crashed process.
//
// The package never contacts a CA: a callback does, while the records are visible.
package publish

// Package dnsquery makes DNS queries: the resolvers of a DNS account, the name of a
// challenge's TXT record, the servers authoritative for it, and the records they show.
//
// It never changes a record and caches no answer.
package dnsquery

// Package dnsquery asks the DNS: which resolvers a DNS account has, where the TXT
// record of a challenge goes, which servers are in charge of it, and what they show.
//
// It never changes a record, and it keeps no answer.
package dnsquery

// Package monitor compares the certificates that endpoints serve with the live ones in
// Vault. It runs beside the passes and never holds them up.
//
// A Verdict is about one endpoint and no state of a certificate: the status page shows
// not_served while the ledger has an open problem of a probe.
//
// A wrong certificate is no failed attempt. It is a problem only after the consumer has
// had time to load the new one. monitor recognizes earlier certificates by their dates
// and names, because certroll keeps no list of all certificates.
package monitor

// Package doctor examines ahead of time what the next renewals depend on: CAA, delegation,
// DNSSEC, a canary record, the ACME account, the CA's directory.
//
// What it finds is told when it comes and when it goes, and holds nothing up: only an
// attempt's failure does. What was told is kept in the ledger (doctor.json) and not read
// off the audit log, which would have to be read back to its beginning. It orders nothing.
package doctor

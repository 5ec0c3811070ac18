// Package doctor examines the prerequisites of renewals ahead of time: CAA, delegation,
// DNSSEC, a canary record, the ACME account and the CA's directory. It orders nothing.
//
// It reports a finding when it appears and when it disappears. A finding holds nothing
// up; only a failed attempt does. Open findings are stored in the ledger (doctor.json),
// because finding them in the audit log would need the whole log.
package doctor

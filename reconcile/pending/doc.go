// Package pending keeps certroll's own secrets in Vault: the pending secret of an
// unfinished attempt, the staged next key, and certificates that still have to be revoked.
//
// The pending secret is written before the CA is asked, and goes last, after the push: as
// long as it is there the next run can tell the whole story again from what Vault and the
// CA know. No key leaves this package but to the attempt that uses it.
package pending

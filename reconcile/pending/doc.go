// Package pending stores certroll's own secrets in Vault: the pending secret of an
// unfinished attempt, the staged next key, and certificates that still have to be
// revoked.
//
// The pending secret is written before the first request to the CA, and destroyed only
// after the ledger has the event. While it exists, the next run can finish the attempt
// and rebuild its event from Vault and the CA. Only the attempt that uses a key reads it
// from here.
package pending
